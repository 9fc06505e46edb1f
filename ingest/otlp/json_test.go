package otlp

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	pb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

func testSchema() *schema {
	return newSchema((&metricspb.ExportMetricsServiceRequest{}).ProtoReflect().Descriptor())
}

// The example of the OpenTelemetry project (opentelemetry-proto, examples/metrics.json), shortened.
const exampleJSON = `{"resourceMetrics": [{
  "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
  "scopeMetrics": [{
    "scope": {"name": "my.library", "version": "1.0.0", "attributes": [{"key": "my.scope.attribute", "value": {"stringValue": "some scope attribute"}}]},
    "metrics": [
      {"name": "my.counter", "unit": "1", "description": "I am a Counter", "sum": {"aggregationTemporality": 1, "isMonotonic": true,
        "dataPoints": [{"asDouble": 5, "startTimeUnixNano": "1544712660300000000", "timeUnixNano": "1544712660300000000",
          "attributes": [{"key": "my.counter.attr", "value": {"stringValue": "some value"}}]}]}},
      {"name": "my.gauge", "unit": "1", "gauge": {"dataPoints": [{"asInt": "-10", "timeUnixNano": 1544712660300000000,
          "exemplars": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "asDouble": 1}],
          "attributes": [{"key": "my.gauge.attr", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"boolValue": true}]}}}]}]}},
      {"name": "my.histogram", "histogram": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
        "dataPoints": [{"startTimeUnixNano": "1544712660300000000", "timeUnixNano": "1544712660300000000", "count": 2, "sum": 2.5e0,
          "bucketCounts": [1, "1"], "explicitBounds": [1.5], "min": "-Infinity", "max": "NaN", "flags": 0, "attributes": null}]}},
      {"name": "my.exponential", "exponentialHistogram": {"aggregation_temporality": 2, "dataPoints": [{"timeUnixNano": "1544712660300000000",
          "count": "3", "sum": 10, "scale": -3, "zeroCount": 1, "positive": {"offset": 1, "bucketCounts": [0, 2]}}]}}
    ]}],
  "unknown": {"deep": [1, -2.5e+3, true, null, {"x": "\u00e4\n\"\ud83d\ude00"}]}}]}`

func TestJSONSaysWhatProtobufSays(t *testing.T) {
	// If this fails, senders with OTLP/JSON (browsers, scripts) are read differently from all others.
	got, err := transcode(nil, []byte(exampleJSON), testSchema(), maxBody)
	if err != nil {
		t.Fatal(err)
	}
	var want, have metricspb.ExportMetricsServiceRequest
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(exampleJSON), &want); err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(got, &have); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, &have, protocmp.Transform(), cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("message (-protojson +ours):\n%s", diff)
	}
	r, tally, err := run(newTestDecoder(t, Config{}), got)
	if err != nil || tally.total() != 0 || len(r.lines) != 8 {
		t.Errorf("error %v, rejected %v, samples:\n%s", err, tally.rejected, strings.Join(r.lines, "\n"))
	}
}

func TestJSONRefused(t *testing.T) {
	// If this fails, a body that is no OTLP is taken for an empty export, and the sender never learns.
	for _, body := range []string{
		``, `[]`, `null`, `{`, `{}{}`, `{"resourceMetrics"}`, `{"resourceMetrics": {}}`, `{"resourceMetrics": [1]}`, `{"resourceMetrics": [{},]}`,
		`{"resourceMetrics": [null]}`, `{"x": 01}`, `{"x": tru}`, `{"x": "` + "\x01" + `"}`, `{"x": "\x"}`, `{"x": "` + "\xff" + `"}`, `{'x': 1}`,
		`{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": 5}]}]}]}`,
		`{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"sum": {"isMonotonic": 1}}]}]}]}`,
		`{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"sum": {"dataPoints": [{"asInt": 1.5}]}}]}]}]}`,
		`{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"sum": {"dataPoints": [{"asDouble": "0x10"}]}}]}]}]}`,
		`{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"sum": {"dataPoints": [{"timeUnixNano": -1}]}}]}]}]}`,
		`{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"sum": {"dataPoints": [{"flags": 4294967296}]}}]}]}]}`,
		`{"x": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
	} {
		if _, err := transcode(nil, []byte(body), testSchema(), maxBody); err == nil {
			t.Errorf("no error for %.80s", body)
		}
	}
}

func TestJSONOutputIsBounded(t *testing.T) {
	// If this fails, a small JSON body can fill the memory.
	body := `{"resourceMetrics":[` + strings.TrimSuffix(strings.Repeat(`{},`, 10000), ",") + `]}`
	out, err := transcode(nil, []byte(body), testSchema(), 1000)
	if !errors.Is(err, errOutput) || len(out) > 2000 {
		t.Errorf("got %d bytes, error %v", len(out), err)
	}
}

func TestNumeral(t *testing.T) {
	// If this fails, JSON numbers are read that are none, or refused that are.
	for _, s := range []string{"0", "-0", "10", "1.5", "1e5", "1E+5", "-1.25e-7", "", "-", "01", "1.", ".5", "1e", "1e+", "+1", "0x1", "1 ", "--1", "1.5.5", "Infinity"} {
		if want := json.Valid([]byte(s)) && s != "1 "; isNumeral([]byte(s)) != want {
			t.Errorf("%q: got %v, want %v", s, !want, want)
		}
	}
}

// FuzzJSON holds that what is taken is JSON, stays within eight times its size, and means what protojson means by it.
func FuzzJSON(f *testing.F) {
	// If this fails, a body that somebody sends takes the process down or is read as something else.
	f.Add([]byte(exampleJSON))
	f.Add([]byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"bucketCounts":[1,2,3],"explicitBounds":[1e-300]}]}}]}]}]}`))
	s := testSchema()
	f.Fuzz(func(t *testing.T, body []byte) {
		out, err := transcode(nil, body, s, maxBody)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("taken, but no JSON: %q", body)
		}
		if len(out) > 8*len(body) {
			t.Fatalf("%d bytes became %d", len(body), len(out))
		}
		var have metricspb.ExportMetricsServiceRequest
		if err := proto.Unmarshal(out, &have); err != nil {
			t.Fatalf("our protobuf cannot be read: %v", err)
		}
		var want metricspb.ExportMetricsServiceRequest
		if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, &want) == nil && !proto.Equal(&want, &have) {
			t.Errorf("protojson reads %v, ours is %v", &want, &have)
		}
		if _, _, err := run(newTestDecoder(t, Config{}), out); err != nil && !errors.Is(err, errWire) {
			t.Errorf("decoding: %v", err)
		}
	})
}

// FuzzProtobuf holds the walk to a plain mapping of the decoded messages.
func FuzzProtobuf(f *testing.F) {
	// If this fails, a message that somebody sends takes the process down or is counted as something else.
	f.Add(marshal(f, request(shop, sum("c", "s", true, delta, intPoint(1, attr("a.b", "1"), attr("a_b", "2"))), gauge("g", "", doublePoint(math.Pi)),
		histogram("h", "", cumulative, &pb.HistogramDataPoint{TimeUnixNano: atNano, Count: 3, BucketCounts: []uint64{1, 2}, ExplicitBounds: []float64{1}}),
		exponential("e", cumulative, &pb.ExponentialHistogramDataPoint{TimeUnixNano: atNano, Count: 3}), summary("s", &pb.SummaryDataPoint{TimeUnixNano: atNano, Sum: 1}))))
	f.Fuzz(func(t *testing.T, body []byte) {
		d := newTestDecoder(t, Config{})
		_, _, ours := run(d, body)
		var m metricspb.ExportMetricsServiceRequest
		if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, &m) != nil { // unknown groups are refused by us
			return
		}
		canonical := marshal(t, &m) // what stands twice in body is merged now
		r, _, err := run(d, canonical)
		if err != nil {
			t.Fatalf("canonical form: %v (as sent: %v)", err, ours)
		}
		if diff := cmp.Diff(reference(d.naming, &m), r.lines); diff != "" {
			t.Errorf("samples (-plain +walk):\n%s", diff)
		}
	})
}
