package main

import (
	"evenkeel.dev/mesh/member"
	"evenkeel.dev/slo"
)

const (
	moment    = `^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.0+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$`
	civil     = `^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$`
	labelOr   = `^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$`
	domain    = `^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*\.?$`
	colour    = `^(#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})|[a-z]{3,20})$`
	beginning = `^[a-z0-9][-a-z0-9]*$`
)

// exclusionFields describes the kind Exclusion; docs/exclusions.md says more.
func exclusionFields() map[string]field {
	return map[string]field{
		"spec": {about: "Which time does not count, for which SLOs, and why.", required: []string{"reason"}, rules: []rule{
			{`has(self.services) && size(self.services) > 0 || has(self.slos) && size(self.slos) > 0`, `write services, slos, or services: ["*"] for all of the global namespace`},
			{`has(self.once) && size(self.once) > 0 || has(self.recurring)`, "write once, recurring or both"},
		}},
		"spec.globalNamespace":    {about: aboutBoundary, pattern: label},
		"spec.services":           {about: `Services, or "*" alone for all. Beside slos: those SLOs of those services.`, most: slo.MaxExclusionNames},
		"spec.services[]":         {about: `The name of a service, or "*".`, pattern: labelOr, most: labelMax},
		"spec.slos":               {about: `SLOs, or "*" alone for all.`, most: slo.MaxExclusionNames},
		"spec.slos[]":             {about: `The name of an SLO, or "*".`, pattern: labelOr, most: labelMax},
		"spec.once":               {about: "Single spans of time.", most: slo.MaxOnce},
		"spec.once[]":             {about: "A span; from belongs to it, until does not.", required: []string{"from", "until"}},
		"spec.once[].from":        {about: "RFC 3339 in whole seconds, for example 2026-11-25T02:00:00Z.", pattern: moment, most: 40},
		"spec.once[].until":       {about: "RFC 3339 in whole seconds, after from.", pattern: moment, most: 40},
		"spec.recurring":          {about: "A span that comes back.", required: []string{"start", "duration", "timeZone", "rrule"}},
		"spec.recurring.start":    {about: "Civil time of the first one, for example 2026-01-04 02:00:00.", pattern: civil, most: 19},
		"spec.recurring.duration": {about: "How long each is: whole seconds, at most 31d, for example 2h.", pattern: duration},
		"spec.recurring.timeZone": {about: aboutZone, least: 1},
		"spec.recurring.rrule":    {about: "When it comes back, as in RFC 5545, for example FREQ=WEEKLY;BYDAY=SU.", least: 1, most: 512},
		"spec.recurring.until":    {about: "Civil time after which none begins.", pattern: civil, most: 19},
		"spec.reason":             {about: "Why this time does not count; it is shown beside every number that it touches.", least: 1, most: 200},
	}
}

// namespaceFields describes the kind GlobalNamespace; docs/global-namespaces.md says more.
func namespaceFields() map[string]field {
	out := map[string]field{
		"spec":                   {about: "What it is called, who belongs to it, and from where its definitions come.", required: []string{"domain", "matchConditions"}},
		"spec.domain":            {about: "Under which its services are called, for example shop.internal; no public suffix.", pattern: domain, most: 190},
		"spec.matchConditions":   {about: "Who is a candidate: any of these. acceptedFrom admits candidates.", least: 1, most: 32},
		"spec.matchConditions[]": {about: "All of its parts must match; what is left out matches any.", required: []string{"namespace"}},
		"spec.mtls":              {about: "Mutual TLS between members."},
		"spec.mtls.mode":         {about: "Permissive where nothing is written.", enum: []string{"Strict", "Permissive", "Disabled"}},
		"spec.ca": {about: "Where the identities of members come from.", rules: []rule{
			{`(has(self.type) && self.type == 'PreExisting') == has(self.name)`, "a CA of type PreExisting has a name, another one none"},
		}},
		"spec.ca.type":                     {about: "SelfSigned where nothing is written.", enum: []string{"SelfSigned", "PreExisting"}},
		"spec.ca.name":                     {about: "The CA that signs.", pattern: label},
		"spec.colour":                      {about: `For people: "#1f77b4", or a name as in CSS.`, pattern: colour, most: 20},
		"spec.description":                 {about: "For people.", most: textMax},
		"spec.definitionsFrom":             {about: "From where definitions for it may come. Without an entry no cluster may hold any.", most: 100},
		"spec.definitionsFrom[]":           {about: "A cluster, a namespace, or both.", rules: []rule{{`has(self.cluster) || has(self.namespace)`, "name a cluster, a namespace, or both"}}},
		"spec.definitionsFrom[].cluster":   {about: "The cluster, as the engine names it; any where it is left out.", pattern: label},
		"spec.definitionsFrom[].namespace": {about: "The namespace; any where it is left out.", pattern: label},
		"spec.acceptedFrom":                {about: "Whose candidates are members. Without an entry nobody is.", most: 100},
		"spec.acceptedFrom[]":              {about: "A cluster, and whose namespaces in it.", required: []string{"cluster"}},
		"spec.acceptedFrom[].cluster":      {about: "The cluster, as the engine names it.", pattern: label},
		"spec.acceptedFrom[].author":       {about: "Who made the namespace; anybody where it is left out.", least: 1},
	}
	for _, part := range []struct{ name, about string }{
		{"namespace", "The namespace."}, {"cluster", "The cluster; any where it is left out."}, {"service", "Only these services, and not the namespace itself."},
	} {
		pattern(out, "spec.matchConditions[]."+part.name, part.about)
	}
	return out
}

// clusterFields describes the kind Cluster.
func clusterFields() map[string]field {
	out := map[string]field{
		"spec":                    {about: "What people should know of it, and what of it is looked at."},
		"spec.displayName":        {about: "Its name for people."},
		"spec.description":        {about: "For people.", most: textMax},
		"spec.region":             {about: "Where it is."},
		"spec.zone":               {about: "Where in its region."},
		"spec.trustDomain":        {about: "Trust domain of its mesh, for example cluster.local."},
		"spec.detach":             {about: "What was known of it is forgotten."},
		"spec.namespaces":         {about: "Which namespaces are looked at; all where nothing is written."},
		"spec.namespaces.include": {about: "Only these.", most: 100},
		"spec.namespaces.exclude": {about: "Not these.", most: 100},
		"spec.agent":              {about: "What proves the agent that tells of it.", required: []string{"tokenSum", "expires"}},
		"spec.agent.tokenSum":     {about: "The SHA-256 of the agent's token; 'evenkeel cluster attach' makes it.", pattern: `^[0-9A-Fa-f]{64}$`, most: 64},
		"spec.agent.expires":      {about: "Until when it holds, for example 2026-12-31T00:00:00Z.", least: 20, most: 40},
	}
	pattern(out, "spec.namespaces.include[]", "By type Exact or StartsWith.")
	pattern(out, "spec.namespaces.exclude[]", "By type Exact or StartsWith.")
	return out
}

// externalFields describes the kind ExternalService.
func externalFields() map[string]field {
	return map[string]field{
		"spec":                     {about: "Where it is reached.", required: []string{"endpoints"}},
		"spec.globalNamespace":     {about: aboutBoundary, pattern: label},
		"spec.description":         {about: "For people.", most: textMax},
		"spec.ports":               {about: "Where it listens.", most: 32},
		"spec.ports[]":             {about: "A port.", required: []string{"port"}},
		"spec.ports[].name":        {about: "Its name."},
		"spec.ports[].port":        {about: "Its number.", min: 1, max: 65535},
		"spec.ports[].protocol":    {about: "TCP where nothing is written.", enum: []string{"TCP", "UDP", "SCTP"}},
		"spec.ports[].appProtocol": {about: "What is spoken over it, for example http."},
		"spec.endpoints":           {about: "Its addresses.", least: 1, most: 256},
		"spec.endpoints[]":         {about: "An address.", required: []string{"address"}},
		"spec.endpoints[].address": {about: "An IP address or a DNS name, without port and scheme.", least: 1},
		"spec.endpoints[].version": {about: "The version that runs there."},
		"spec.endpoints[].region":  {about: "Where it is."},
		"spec.endpoints[].zone":    {about: "Where in its region."},
	}
}

// pattern describes one by name or by labels.
func pattern(out map[string]field, at, about string) {
	out[at] = field{about: about, required: []string{"type"}, rules: []rule{
		{`self.type == 'Labels' || has(self.match) && !has(self.matchLabels) && !has(self.matchExpressions)`, "Exact and StartsWith take match, and no labels"},
		{`self.type != 'Labels' || !has(self.match) && (has(self.matchLabels) && size(self.matchLabels) > 0 || has(self.matchExpressions) && size(self.matchExpressions) > 0)`, "Labels takes matchLabels or matchExpressions, and no match"},
	}}
	out[at+".type"] = field{about: "How it is compared.", enum: []string{member.Exact, member.StartsWith, member.Labels}}
	out[at+".match"] = field{about: "The whole name, or what it begins with.", pattern: beginning, most: labelMax}
	out[at+".matchLabels"] = field{about: "Labels that must be equal.", most: 16}
	out[at+".matchLabels.*"] = field{about: "The value of a label."}
	out[at+".matchExpressions"] = field{about: "Conditions that must all hold.", most: 16}
	out[at+".matchExpressions[]"] = field{about: "A condition, as in a label selector of Kubernetes.", required: []string{"key", "operator"}, rules: []rule{
		{`(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)`, "In and NotIn need values, Exists and DoesNotExist take none"},
	}}
	out[at+".matchExpressions[].key"] = field{about: "The label.", least: 1, most: 317}
	out[at+".matchExpressions[].operator"] = field{about: "How it is compared.", enum: []string{member.In, member.NotIn, member.Exists, member.DoesNotExist}}
	out[at+".matchExpressions[].values"] = field{about: "What it is compared with.", most: 64}
	out[at+".matchExpressions[].values[]"] = field{about: "A value of the label."}
}

// groupFields describes the kind ResourceGroup; docs/global-namespaces.md says more. Its rules are written out as deep as they may nest, and
// without CEL: at that depth nothing is cheap.
func groupFields() map[string]field {
	out := map[string]field{
		"spec": {about: "What is picked, from where, and by which rules.", required: []string{"kind", "rules"}, rules: []rule{
			{`!has(self.scope) || self.scope != 'Organisation' || !has(self.globalNamespace)`, "a group of the organisation is in no global namespace"},
		}},
		"spec.scope":           {about: "GlobalNamespace (default): members of one. Organisation: everything; only clusters that are trusted may define it.", enum: []string{"GlobalNamespace", "Organisation"}},
		"spec.globalNamespace": {about: aboutBoundary, pattern: label},
		"spec.kind":            {about: "What is picked.", enum: []string{member.KindService, member.KindCluster, member.KindNode}},
		"spec.description":     {about: "For people.", most: textMax},
		"spec.colour":          {about: `For people: "#1f77b4", or a name as in CSS.`, pattern: colour, most: 20},
	}
	at := "spec.rules"
	for depth := range member.MaxDepth {
		about := "Conditions in conditions; at most 256 together, nested at most 8 deep."
		if depth == 0 {
			about = "Which are picked."
		}
		out[at] = field{about: about, required: []string{"fn"}}
		out[at+".fn"] = field{about: "AND: all must hold. OR: one of them.", enum: []string{member.And, member.Or}}
		out[at+".match"] = field{about: "Conditions.", most: member.MaxRules}
		out[at+".match[]"] = field{about: "A condition.", required: []string{"fn", "type"}}
		out[at+".match[].type"] = field{about: "What is looked at; Namespace is for services, Cluster for services and nodes.", enum: member.TypesOf(member.KindService)}
		out[at+".match[].key"] = field{about: "The label, with type Label.", most: 317}
		out[at+".match[].fn"] = field{about: "How it is compared; Exists is for labels.", enum: []string{member.Exact, member.StartsWith, member.EndsWith, member.Contains, member.Exists}}
		out[at+".match[].value"] = field{about: "What it is compared with."}
		if depth < member.MaxDepth-1 {
			out[at+".rules"] = field{about: "Rules in rules.", most: member.MaxRules}
			at += ".rules[]"
		}
	}
	return out
}
