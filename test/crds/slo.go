package main

import (
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/native"
)

const (
	aboutLabel     = "A DNS label."
	aboutBoundary  = "The global namespace that it stands in; default where none is written. Its definitionsFrom must admit this cluster and namespace."
	aboutZone      = "A time zone of IANA's data base, for example Europe/Berlin."
	oneSLI         = `has(self.sli) != has(self.composite)`
	oneAsk         = `!has(self.source) || has(self.availability) != has(self.latency)`
	twoQueries     = `has(self.source) || has(self.good) != has(self.bad) && has(self.total)`
	sourceOrQuery  = `!(has(self.source) && (has(self.good) || has(self.bad) || has(self.total) || has(self.interpolate)))`
	queriesOnly    = `has(self.source) || !has(self.availability) && !has(self.latency) && !has(self.match)`
	eventsHaveNone = `!has(self.onNoData) || !(self.onNoData in ['Good', 'Bad']) || has(self.composite) || has(self.budgeting) && has(self.budgeting.method) && self.budgeting.method != 'Occurrences'`
	percentileOf   = `!has(self.sli) || !has(self.sli.latency) || !has(self.sli.latency.percentile) || has(self.budgeting) && has(self.budgeting.method) && self.budgeting.method == 'Timeslices'`
	sliceTarget    = `!has(self.budgeting) || !has(self.budgeting.method) || self.budgeting.method != 'Timeslices' || !has(self.budgeting.slice) || has(self.budgeting.slice.target) || has(self.sli) && has(self.sli.latency) && has(self.sli.latency.percentile)`
	needsSlice     = `(has(self.method) && self.method != 'Occurrences') == has(self.slice)`
	ratioTarget    = `!has(self.method) || self.method != 'RatioTimeslices' || !has(self.slice) || !has(self.slice.target)`
	mustHold       = `!has(self.method) || self.method != 'AllMustHold' || self.members.all(m, has(m.objective))`
)

// sloFields describes the kind SLO; docs/kinds-slo.md says more.
func sloFields() map[string]field {
	out := map[string]field{
		"spec": {about: "What is measured, what is promised of it, and who hears of it.", required: []string{"targetRef", "objective"}, rules: []rule{
			{oneSLI, "write exactly one of sli and composite"},
			{`!has(self.composite) || !has(self.budgeting) && !has(self.groupBy)`, "budgeting and groupBy have no place beside composite"},
			{eventsHaveNone, "onNoData Good and Bad need a method that counts slices of time"},
			{percentileOf, "a percentile needs budgeting with the method Timeslices"},
			{sliceTarget, "the method Timeslices needs slice.target, or a percentile"},
		}},
		"spec.description":     {about: "Goes with each alert.", most: textMax},
		"spec.globalNamespace": {about: aboutBoundary, pattern: label},
		"spec.targetRef":       {about: "What the objective is about.", required: []string{"kind", "name"}},
		"spec.targetRef.kind":  {about: "The kind of the target.", enum: []string{"Service"}},
		"spec.targetRef.name":  {about: "Its name.", pattern: label},
		"spec.type":            {about: "Monitored (default): measured and alerted on. Actionable: scaling and failover look at it too; one for each service.", enum: []string{slo.TypeMonitored, slo.TypeActionable}},
		"spec.objective":       {about: "The share that must be good: a percentage above 0% and below 100%, for example 99.9%. Every digit counts.", kind: "string", pattern: promised, most: 32},
		"spec.window": {about: "The time over which the budget is counted; {rolling: 30d} where none is written.", rules: []rule{
			{`has(self.rolling) != has(self.calendar)`, "write exactly one of rolling and calendar"},
			{`!has(self.timeZone) || has(self.calendar)`, "timeZone belongs to calendar windows"},
		}},
		"spec.window.rolling":          {about: "Its length, for example 30d.", pattern: duration},
		"spec.window.calendar":         {about: "The period of a calendar. Weeks begin on Monday.", enum: []string{slo.UnitDay, slo.UnitWeek, slo.UnitMonth, slo.UnitQuarter, slo.UnitYear}},
		"spec.window.timeZone":         {about: aboutZone + " UTC where none is written.", least: 1},
		"spec.onNoData":                {about: "What a slice without data counts as; Hold where nothing is written: as the one before.", enum: []string{slo.NoDataHold, slo.NoDataGood, slo.NoDataBad, slo.NoDataExclude}},
		"spec.budgeting":               {about: "What is counted: events, where nothing is written, or slices of time.", rules: []rule{{needsSlice, "Timeslices and RatioTimeslices need a slice, and Occurrences has none"}, {ratioTarget, "a slice's target belongs to the method Timeslices"}}},
		"spec.budgeting.method":        {about: "Occurrences (default) counts events, Timeslices good slices of time; RatioTimeslices takes the mean of the slices' shares.", enum: []string{slo.MethodOccurrences, slo.MethodTimeslices, slo.MethodRatioTimeslices}},
		"spec.budgeting.slice":         {about: "A slice of time.", required: []string{"length"}},
		"spec.budgeting.slice.length":  {about: "Whole seconds from 10s to 1h, for example 1m.", pattern: duration},
		"spec.budgeting.slice.target":  {about: "The share of good events from which on a slice is good, for example 95%.", kind: "string", pattern: share, most: 32},
		"spec.groupBy":                 {about: "One more SLO for each value of labels.", required: []string{"labels"}},
		"spec.groupBy.labels":          {about: "Each combination of their values is an SLO of its own.", least: 1, most: slo.MaxGroupLabels},
		"spec.groupBy.labels[]":        {about: "The name of a label that the series have.", least: 1},
		"spec.groupBy.max":             {about: "How many groups there may be; 100 where nothing is written.", min: 1, max: slo.MaxGroups},
		"spec.groupBy.alerts":          {about: "Who alerts: each group (default), the SLO over all, or both.", enum: slo.GroupAlerts()},
		"spec.composite":               {about: "The SLOs that this one is the joint one of.", required: []string{"members"}, rules: []rule{{mustHold, "with AllMustHold each member needs an objective"}}},
		"spec.composite.method":        {about: "What a minute is worth; WeightedMean where nothing is written.", enum: slo.Joins()},
		"spec.composite.members":       {about: "SLOs of the same global namespace, whatever kind of file they come from.", least: 1, most: slo.MaxMembers},
		"spec.composite.members[]":     {about: "One SLO.", required: []string{"service", "slo"}},
		"spec.composite.members[].slo": {about: "Its name; that of a group has the values of its labels behind a _.", least: 1},
		"spec.composite.members[].service": {
			about: "The service that it is about.", pattern: label},
		"spec.composite.members[].weight":    {about: "How much it counts with WeightedMean; 1 where nothing is written.", kind: "number", above: true, max: 1_000_000},
		"spec.composite.members[].objective": {about: "The share of good events that a minute of it needs with AllMustHold, for example 99.9%.", kind: "string", pattern: share, most: 32},
	}
	for path, f := range sliFields() {
		out[path] = f
	}
	for path, f := range alertFields() {
		out[path] = f
	}
	return out
}

func sliFields() map[string]field {
	return map[string]field{
		"spec.sli": {about: "What is measured: a source with availability or latency, or total with good or bad in PromQL.", rules: []rule{
			{oneAsk, "ask a source for exactly one of availability and latency"},
			{twoQueries, "write a source, or total with exactly one of good and bad"},
			{sourceOrQuery, "source excludes good, bad, total and interpolate"},
			{queriesOnly, "availability, latency and match belong to a source"},
		}},
		"spec.sli.source":                   {about: "A program or library whose metrics are known.", enum: native.Sources()},
		"spec.sli.availability":             {about: "The share of requests that ended without an error: 5xx and 429, where nothing else is written.", rules: []rule{{`!has(self.errors) || !has(self.tanzuErrors) || !self.tanzuErrors`, "errors and tanzuErrors exclude each other"}}},
		"spec.sli.availability.errors":      {about: "What is an error instead: statuses as 429, classes as 5xx, of gRPC names as Unavailable.", least: 1, most: 32},
		"spec.sli.availability.errors[]":    {about: "A status, a class of them, or the name of a gRPC code.", kind: "int-or-string", most: 32},
		"spec.sli.availability.tanzuErrors": {about: "Errors as Tanzu Service Mesh counted them: 4xx and 5xx."},
		"spec.sli.latency":                  {about: "The share of requests that took at most a threshold.", required: []string{"threshold"}},
		"spec.sli.latency.threshold":        {about: "The bound of a bucket of the source, for example 250ms.", pattern: duration},
		"spec.sli.latency.percentile":       {about: `The slices' target in other words, with Timeslices: 99, or "99.9" in quotes.`, kind: "int-or-string", most: 32},
		"spec.sli.latency.anyBucket":        {about: "The source's buckets are configured otherwise than usual."},
		"spec.sli.latency.interpolate":      {about: "Take the requests of the bucket that holds the threshold to be spread evenly."},
		"spec.sli.match":                    {about: "Labels that must be equal, in addition or instead of one that the source asks for.", most: 16},
		"spec.sli.match.*":                  {about: "The value of a label.", most: 1024},
		"spec.sli.percentiles":              {about: "Show p50, p90 and p99 with their bounds."},
		"spec.sli.interpolate":              {about: "Of queries: take the bucket that holds a threshold to be spread evenly."},
		"spec.sli.good":                     {about: "PromQL that counts good events.", least: 1, most: queryMax},
		"spec.sli.bad":                      {about: "PromQL that counts bad events.", least: 1, most: queryMax},
		"spec.sli.total":                    {about: "PromQL that counts all events.", least: 1, most: queryMax},
	}
}

func alertFields() map[string]field {
	return map[string]field{
		"spec.alerts":                        {about: "When somebody hears of it. Without it: the page and ticket alerts of the SRE workbook."},
		"spec.alerts.burnRate":               {about: "Alerts on how fast the budget is spent."},
		"spec.alerts.burnRate.tiers":         {about: "Which of the SRE workbook's alerts; an empty list: none.", most: 2, set: true},
		"spec.alerts.burnRate.tiers[]":       {about: "Page wakes somebody, Ticket waits for the morning.", enum: []string{"Page", "Ticket"}},
		"spec.alerts.budgetSpent":            {about: "An alert for each share of the budget that is spent.", most: slo.MaxSpentTiers},
		"spec.alerts.budgetSpent[]":          {about: "For example 50%.", pattern: `^[0-9]{1,4}(\.[0-9]{1,26})?%$`},
		"spec.alerts.exhaustion":             {about: "An alert when the budget is foretold to end within this time, for example 3d.", pattern: duration},
		"spec.alerts.absent":                 {about: "An alert when no samples have come for this time, for example 10m.", pattern: duration},
		"spec.alerts.lowTrafficGuard":        {about: "false: burn alerts fire by their ratio alone, however few events there are."},
		"spec.alerts.notifyRefs":             {about: "Who is told; the default targets where none is named.", most: 20},
		"spec.alerts.notifyRefs[]":           {about: "An AlertNotificationTarget.", required: []string{"name"}},
		"spec.alerts.notifyRefs[].name":      {about: "Its name.", pattern: label},
		"spec.alerts.notifyRefs[].namespace": {about: "Its namespace; that of the SLO where none is written.", pattern: label},
		"spec.alerts.runbook":                {about: "A link that each notification carries.", pattern: `^[Hh][Tt][Tt][Pp][Ss]?://.+`, most: 2048},
	}
}
