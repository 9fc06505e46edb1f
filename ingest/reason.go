package ingest

import "fmt"

// A Reason says why a sample or a series was refused.
type Reason uint8

// The reasons.
const (
	_                 Reason = iota
	TooFarAhead              // the sample is further ahead of the clock than Limits.Ahead
	TooOld                   // the sample is older than Limits.Horizon
	SeriesLimit              // as many series are kept as the sender, the global namespace or all may have
	DictionaryLimit          // the labels of the kept series take as many bytes as they may
	NewSeriesLimit           // the sender brings new series faster than it may
	SenderLimit              // there are too many senders
	SourceLimit              // the sender speaks for too many clusters and replicas
	NamespaceMismatch        // label "global_namespace" is another than the sender's
	ClusterMismatch          // label "cluster" is another than the sender's
	NameMissing              // there is no label "__name__"
	LabelsInvalid            // a name is empty or stands twice, or something is no UTF-8
	LabelsTooMany            // more labels than Limits.Labels
	LabelsTooLong            // a name, a value or all together are longer than they may be
	Malformed                // the shell could not make sense of it
	reasonEnd
)

// Reasons returns all reasons, in order.
func Reasons() []Reason {
	rs := make([]Reason, 0, reasonEnd-1)
	for r := Reason(1); r < reasonEnd; r++ {
		rs = append(rs, r)
	}
	return rs
}

// String returns the reason's name, for example "TooOld".
func (r Reason) String() string {
	names := [reasonEnd]string{"", "TooFarAhead", "TooOld", "SeriesLimit", "DictionaryLimit", "NewSeriesLimit", "SenderLimit", "SourceLimit",
		"NamespaceMismatch", "ClusterMismatch", "NameMissing", "LabelsInvalid", "LabelsTooMany", "LabelsTooLong", "Malformed"}
	if r < reasonEnd {
		return names[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// A SeriesError says why [Arrival.Learn] refuses a series.
type SeriesError struct {
	Reason Reason
	What   string // the label that is wrong, cut to 64 bytes, or ""
	Got    int    // the number that is over a bound, 0 where there is none
	Bound  int
}

// Error says what is wrong and, where there is a bound, what would be right.
func (e *SeriesError) Error() string {
	s := "series refused: " + e.Reason.String()
	if e.What != "" {
		s += fmt.Sprintf(": label %q", e.What)
	}
	if e.Bound > 0 {
		s += fmt.Sprintf(": %d, at most %d", e.Got, e.Bound)
	}
	return s
}
