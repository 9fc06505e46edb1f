package slo

// A Written objective is one with the words of its file, so that it can be written in another form: what an [Objective] means stays the
// same, and a reader finds the queries again.
type Written struct {
	Objective
	Namespace        string // of the definition
	Description      string
	Labels           map[string]string
	Annotations      map[string]string // of the definition, those that mean nothing here
	Good, Bad, Total string            // PromQL; of Good and Bad exactly one; none where the SLI is over values
	Values           string            // PromQL; the series of an SLI over values
	Counter          bool              // the queries name counters as they stand
}
