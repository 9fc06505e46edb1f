package main

import (
	"evenkeel.dev/mesh/traffic"
)

const (
	host      = `^(\*\.)?[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*\.?$`
	token     = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$"
	upper     = "^[!#$%&'*+.^_`|~0-9A-Z-]{1,128}$"
	version   = `^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	aboutMode = "What is done without a person: Observe (default), Approve or Automatic."
)

var (
	modes   = []string{traffic.Observe, traffic.Approve, traffic.Automatic}
	secured = []string{traffic.Strict, traffic.Permissive, traffic.Disabled}
)

// encryptionFields describes the kind EncryptionPolicy; docs/encryption.md says more.
func encryptionFields() map[string]field {
	return map[string]field{
		"spec":                                      {about: "How calls are encrypted. A global namespace has one.", required: []string{"inside"}},
		"spec.globalNamespace":                      {about: aboutBoundary, pattern: label},
		"spec.mode":                                 {about: aboutMode, enum: modes},
		"spec.inside":                               {about: "How members take calls.", required: []string{"mode"}},
		"spec.inside.mode":                          {about: "Strict: only with mutual TLS. Permissive: with and without. Disabled: without.", enum: secured},
		"spec.northSouth":                           {about: "How calls from outside come in.", required: []string{"mode"}},
		"spec.northSouth.mode":                      {about: "Strict: only with TLS. Permissive: with and without. Disabled: without.", enum: secured},
		"spec.northSouth.minTLSVersion":             {about: "The least version of TLS: 1.2 (default) or 1.3.", enum: []string{"1.2", "1.3"}},
		"spec.northSouth.clientCertificate":         {about: "Whether clients must show a certificate: None (default), Optional or Required.", enum: []string{"None", "Optional", "Required"}},
		"spec.northSouth.gateways":                  {about: "Where they come in.", most: 16},
		"spec.northSouth.gateways[]":                {about: "A gateway.", required: []string{"name", "namespace", "selector", "hosts"}},
		"spec.northSouth.gateways[].name":           {about: "Its name.", pattern: label},
		"spec.northSouth.gateways[].cluster":        {about: "The cluster it is in; where it is left out, each cluster that has members in the namespace.", pattern: label},
		"spec.northSouth.gateways[].namespace":      {about: "The namespace of its object, which is a member.", pattern: label},
		"spec.northSouth.gateways[].selector":       {about: "Labels of its instances.", most: 16},
		"spec.northSouth.gateways[].selector.*":     {about: "The value of a label."},
		"spec.northSouth.gateways[].hosts":          {about: "Under which names calls come in.", least: 1, most: 32},
		"spec.northSouth.gateways[].hosts[]":        {about: `A name; its first part may be "*".`, pattern: host},
		"spec.northSouth.gateways[].secretRef":      {about: "The secret of its certificate, in the namespace of its instances.", required: []string{"name"}},
		"spec.northSouth.gateways[].secretRef.name": {about: "Its name.", pattern: label},
		"spec.exceptions":                           {about: "Other modes for a part, until they expire.", most: 100},
		"spec.exceptions[]": {about: "An exception. What is left out is any.", required: []string{"mode", "expires", "reason"}, rules: []rule{
			{`has(self.cluster) || has(self.namespace) || has(self.service) || has(self.port)`, "name a cluster, a namespace, a service or a port"},
		}},
		"spec.exceptions[].cluster":   {about: "The cluster.", pattern: label},
		"spec.exceptions[].namespace": {about: "The namespace.", pattern: label},
		"spec.exceptions[].service":   {about: "The service.", pattern: label},
		"spec.exceptions[].port":      {about: "The port of the instances.", min: 1, max: 65535},
		"spec.exceptions[].mode":      {about: "What holds there.", enum: secured},
		"spec.exceptions[].expires":   {about: "Until when, for example 2027-03-31T00:00:00Z.", least: 20, most: 40},
		"spec.exceptions[].reason":    {about: "Why; it is shown beside what is let through.", least: 1, most: textMax},
	}
}

// routingFields describes the kind TrafficPolicy; docs/encryption.md says more.
func routingFields() map[string]field {
	return map[string]field{
		"spec":                                {about: "Where calls of a service go. A service has one.", required: []string{"targetRef", "http"}},
		"spec.globalNamespace":                {about: aboutBoundary, pattern: label},
		"spec.mode":                           {about: aboutMode, enum: modes},
		"spec.description":                    {about: "For people.", most: 1024},
		"spec.targetRef":                      {about: "Whose calls.", required: []string{"kind", "name"}},
		"spec.targetRef.kind":                 {about: "What it is.", enum: []string{"Service"}},
		"spec.targetRef.name":                 {about: "The service.", pattern: label},
		"spec.http":                           {about: "Rules; the first that matches counts.", least: 1, most: 32},
		"spec.http[]":                         {about: "A rule.", required: []string{"name", "to"}},
		"spec.http[].name":                    {about: "Its name.", pattern: label},
		"spec.http[].match":                   {about: "Which calls: one of these must hold. Without it the rule takes all, and is the last.", least: 1, most: 16},
		"spec.http[].match[]":                 {about: "All of its parts must hold.", rules: []rule{{`has(self.headers) || has(self.path) || has(self.methods)`, "write headers, path or methods"}}},
		"spec.http[].match[].headers":         {about: "Conditions on headers.", most: 16},
		"spec.http[].match[].headers[]":       {about: "A condition on a header.", required: []string{"name"}},
		"spec.http[].match[].headers[].name":  {about: "The header.", pattern: token, most: 128},
		"spec.http[].match[].headers[].type":  {about: "How it is compared: Exact (default), Prefix, Regex (RE2, of the whole), Present.", enum: []string{traffic.Exact, traffic.Prefix, traffic.Regex, traffic.Present}},
		"spec.http[].match[].headers[].value": {about: "What it is compared with.", most: 1024},
		"spec.http[].match[].path":            {about: "A condition on the path.", required: []string{"type", "value"}},
		"spec.http[].match[].path.type":       {about: "How it is compared: Exact, Prefix, or Regex (RE2, of the whole).", enum: []string{traffic.Exact, traffic.Prefix, traffic.Regex}},
		"spec.http[].match[].path.value":      {about: "What it is compared with.", least: 1, most: 1024},
		"spec.http[].match[].methods":         {about: "One of these methods.", most: 16},
		"spec.http[].match[].methods[]":       {about: "A method, in capitals.", pattern: upper, most: 128},
		"spec.http[].to":                      {about: "Versions and their shares, which add up to 100.", least: 1, most: 16},
		"spec.http[].to[]":                    {about: "A version.", required: []string{"version", "weight"}},
		"spec.http[].to[].version":            {about: "The version, as the inventory has it.", pattern: version, most: labelMax},
		"spec.http[].to[].weight":             {about: "Its share in percent; 0 keeps it in sight.", max: 100},
	}
}
