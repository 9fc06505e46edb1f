package otlp

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"
)

// lines lists the samples that stand in the log, each with its series.
func (l *fakeLog) lines(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, data := range l.stored {
		f := bus.DecodeFrame(data)
		if f.Err != nil {
			t.Fatal(f.Err)
		}
		for p := range bus.DefaultPartitions {
			var r bus.SectionReader
			as, err := r.Reset(f.Section(p))
			if err != nil {
				t.Fatal(err)
			}
			names := map[uint32]string{}
			for _, a := range as {
				names[a.Ref] = a.Labels.String() + flagText(a.Flags)
			}
			for b := (bus.Block{}); r.Next(&b); {
				for i, ref := range b.Refs {
					out = append(out, fmt.Sprintf("%s @%d since %d %v", names[ref], b.Times[i]-wantAt, b.Starts[i]-wantAt, b.Values[i]))
				}
			}
		}
	}
	sort.Strings(out)
	return out
}

// The latency of a service that exports exponential histograms would be wrong: its buckets are numbered from another end than
// Prometheus', and their scale may be finer than any schema.
func TestBucketsOfExponentialHistograms(t *testing.T) {
	receiver, log := newTestReceiver(t, Config{}, ingest.Limits{})
	selector, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchEqual, Value: "d" + slo.NativeSuffix}})
	if err != nil {
		t.Fatal(err)
	}
	at := slo.MustDecimal("0.3")
	receiver.config.Gate.SetObjectives(2, []slo.Objective{{Service: "s", Name: "o", SLI: slo.SLI{Total: slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: selector, AtMost: &at}}}}}})
	point := &pb.ExponentialHistogramDataPoint{
		TimeUnixNano: uint64(wantAt) * 1e6, StartTimeUnixNano: uint64(wantAt-9) * 1e6, Count: 16, Scale: 10, ZeroCount: 1,
		// 0.299 to 0.3005 in steps of 2^(1/1024)
		Positive: &pb.ExponentialHistogramDataPoint_Buckets{Offset: -1784, BucketCounts: []uint64{1, 2, 0, 4, 3}}, Negative: &pb.ExponentialHistogramDataPoint_Buckets{BucketCounts: []uint64{5}},
	}
	of := slo.Histogram{
		Schema: 10, Count: 16, Zero: 1, Positive: []slo.Bucket{{Index: -1783, Count: 1}, {Index: -1782, Count: 2}, {Index: -1780, Count: 4}, {Index: -1779, Count: 3}},
		Negative: []slo.Bucket{{Index: 1, Count: 5}},
	}
	if err := of.Normalize(); err != nil {
		t.Fatal(err)
	}
	var want []string
	slo.NewCut(at).Parts(&of, func(p slo.Part, v float64) {
		want = append(want, fmt.Sprintf(`d_native_bucket{__at_most__="0.3", __part__=%q, instance="i", job="s"} @0 since -9 %v`, p.Text(), v))
	})
	sort.Strings(want)
	resource := attrs("service.name", "s", "service.instance.id", "i")
	body := marshal(t, request(resource, exponential("d", cumulative, point)))
	if answer, failed := receiver.export(context.Background(), ingest.Sender{Name: "test"}, body); failed != nil || answer.PartialSuccess != nil {
		t.Fatal(answer, failed)
	}
	if diff := cmp.Diff(want, log.lines(t)); diff != "" {
		t.Error(diff)
	}
	log.stored = nil
	body = marshal(t, request(resource, exponential("d", delta, point)))
	if answer, failed := receiver.export(context.Background(), ingest.Sender{Name: "test"}, body); failed != nil || answer.PartialSuccess != nil {
		t.Fatal(answer, failed)
	}
	for _, line := range log.lines(t) {
		if !strings.Contains(line, " delta @0") {
			t.Errorf("a part of an increment is none: %s", line)
		}
	}

	point.Scale = -5
	answer, failed := receiver.export(context.Background(), ingest.Sender{Name: "test"}, marshal(t, request(resource, exponential("d", cumulative, point))))
	if failed != nil || answer.PartialSuccess.GetRejectedDataPoints() != 1 || !strings.Contains(answer.PartialSuccess.GetErrorMessage(), "the schema -5 is below -4") {
		t.Errorf("a scale that no series can hold: %v %v", answer, failed)
	}
}
