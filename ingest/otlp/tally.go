package otlp

import (
	"fmt"
	"strings"

	"evenkeel.dev/ingest"
)

// A reason says why a data point is left out before it becomes a sample.
type reason uint8

const (
	reasonNone reason = iota
	reasonNoTime
	reasonNoValue
	reasonStart
	reasonTemporality
	reasonBuckets
	reasonName
	reasonAttribute
	reasonResource
	reasonGate // the gate refused it; its own reasons say why
	reasonEnd
)

var reasonText = [reasonEnd]string{
	reasonNoTime:      "without a time that can be; set time_unix_nano",
	reasonNoValue:     "without a value and without the flag \"no recorded value\"",
	reasonStart:       "of delta temporality that begin after they end",
	reasonTemporality: "without an aggregation temporality; it must be delta or cumulative",
	reasonBuckets:     "whose buckets do not fit: counts must be one more than bounds, bounds must rise, at most 256; a scale is at least -4",
	reasonName:        "whose metric has no usable name",
	reasonAttribute:   "with attributes that cannot become labels",
	reasonResource:    "of a resource whose attributes cannot become labels",
	reasonGate:        "refused by limits or because of their time",
}

var reasonLabel = [reasonEnd]string{
	reasonNoTime: "NoTime", reasonNoValue: "NoValue", reasonStart: "Start", reasonTemporality: "Temporality", reasonBuckets: "Buckets",
	reasonName: "Name", reasonAttribute: "Attribute", reasonResource: "Resource", reasonGate: "Gate",
}

// A tally counts the data points of one request.
type tally struct {
	points   int64
	rejected [reasonEnd]int64
	first    [reasonEnd]string // name of the metric that was first rejected for the reason
	detail   [reasonEnd]error  // and the error it met, where there is one
	gate     error             // first series that the gate refused
}

func (t *tally) reject(why reason, metric []byte, detail error) {
	if t.rejected[why] == 0 {
		t.first[why], t.detail[why] = strings.ToValidUTF8(clip(metric), "\uFFFD"), detail
	}
	t.rejected[why]++
}

func (t *tally) total() int64 {
	n := int64(0)
	for _, k := range t.rejected {
		n += k
	}
	return n
}

// message tells the sender what was left out and why, or "" when nothing was.
func (t *tally) message(refused *ingest.Refused) string {
	var b strings.Builder
	for why, n := range t.rejected {
		if n == 0 {
			continue
		}
		if b.Len() == 0 {
			b.WriteString("rejected data points: ")
		} else {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%d %s (first: metric %q", n, reasonText[why], t.first[why])
		if t.detail[why] != nil {
			fmt.Fprintf(&b, ": %v", t.detail[why])
		}
		b.WriteString(")")
	}
	if refused.Total() == 0 {
		return b.String()
	}
	b.WriteString("; refused samples by reason:")
	for why, n := range refused {
		if n > 0 {
			fmt.Fprintf(&b, " %v %d", ingest.Reason(why), n)
		}
	}
	return strings.TrimPrefix(b.String(), "; ")
}
