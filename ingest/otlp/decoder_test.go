package otlp

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	pb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"evenkeel.dev/ingest"
)

var shop = attrs("service.name", "checkout", "service.namespace", "shop", "service.instance.id", "pod-1", "host.name", "node-7")

const fromTo = ` @1700000000000 from 1699999000000 = `

func TestMapping(t *testing.T) {
	// If this fails, an SLO finds other series for OTLP senders than for Prometheus, and counts nothing or the wrong events.
	h := &pb.HistogramDataPoint{
		StartTimeUnixNano: at0, TimeUnixNano: atNano, Attributes: attrs("route", "/pay"), Count: 10, Sum: proto.Float64(1.5),
		BucketCounts: []uint64{4, 3, 2, 1}, ExplicitBounds: []float64{0.005, 0.1, 10},
	}
	e := &pb.ExponentialHistogramDataPoint{StartTimeUnixNano: at0, TimeUnixNano: atNano, Count: 7, Sum: proto.Float64(3), Scale: 2, ZeroCount: 1}
	s := &pb.SummaryDataPoint{StartTimeUnixNano: at0, TimeUnixNano: atNano, Count: 5, Sum: 2.5}
	id := `instance="pod-1", job="shop/checkout"`
	for name, c := range map[string]struct {
		config Config
		metric *pb.Metric
		want   []string
	}{
		"cumulative monotonic sum": {metric: sum("http.server.requests", "{request}", true, cumulative, intPoint(42, attrs("http.status_code", "500")...)), want: []string{
			`http_server_requests_total{http_status_code="500", ` + id + `}` + fromTo + `42`,
		}},
		"delta monotonic sum": {metric: sum("http.server.requests", "", true, delta, doublePoint(2.5)), want: []string{
			`http_server_requests_total{` + id + `} delta` + fromTo + `2.5`,
		}},
		"up-down counter": {metric: sum("queue.length", "", false, cumulative, intPoint(-3)), want: []string{`queue_length{` + id + `} gauge` + fromTo + `-3`}},
		"delta up-down counter": {metric: sum("queue.length", "", false, delta, intPoint(-3)), want: []string{
			`queue_length{` + id + `} delta gauge` + fromTo + `-3`,
		}},
		"gauge with unit": {metric: gauge("process.memory", "By", intPoint(1<<40)), want: []string{
			`process_memory_bytes{` + id + `} gauge` + fromTo + `1.099511627776e+12`,
		}},
		"histogram": {metric: histogram("http.server.duration", "s", cumulative, h), want: []string{
			`http_server_duration_seconds_count{` + id + `, route="/pay"}` + fromTo + `10`,
			`http_server_duration_seconds_sum{` + id + `, route="/pay"}` + fromTo + `1.5`,
			`http_server_duration_seconds_bucket{` + id + `, le="0.005", route="/pay"}` + fromTo + `4`,
			`http_server_duration_seconds_bucket{` + id + `, le="0.1", route="/pay"}` + fromTo + `7`,
			`http_server_duration_seconds_bucket{` + id + `, le="10", route="/pay"}` + fromTo + `9`,
			`http_server_duration_seconds_bucket{` + id + `, le="+Inf", route="/pay"}` + fromTo + `10`,
		}},
		"delta histogram without buckets and sum": {
			metric: histogram("d", "", delta, &pb.HistogramDataPoint{StartTimeUnixNano: at0, TimeUnixNano: atNano, Count: 3}),
			want:   []string{`d_count{` + id + `} delta` + fromTo + `3`, `d_bucket{` + id + `, le="+Inf"} delta` + fromTo + `3`},
		},
		"exponential histogram": {metric: exponential("d", cumulative, e), want: []string{`d_count{` + id + `}` + fromTo + `7`, `d_sum{` + id + `}` + fromTo + `3`}},
		"delta exponential histogram": {metric: exponential("d", delta, e), want: []string{
			`d_count{` + id + `} delta` + fromTo + `7`, `d_sum{` + id + `} delta` + fromTo + `3`,
		}},
		"summary": {metric: summary("d", s), want: []string{`d_count{` + id + `}` + fromTo + `5`, `d_sum{` + id + `}` + fromTo + `2.5`}},
		"names as they are": {
			config: Config{Translation: "NoTranslation"}, metric: sum("http.server.requests", "", true, cumulative, intPoint(1, attrs("http.method", "GET")...)),
			want: []string{`http.server.requests{http.method="GET", ` + id + `}` + fromTo + `1`},
		},
		"UTF-8 names with suffixes": {
			config: Config{Translation: "NoUTF8EscapingWithSuffixes"}, metric: sum("http.server.time", "s", true, cumulative, intPoint(1)),
			want: []string{`http.server.time_seconds_total{` + id + `}` + fromTo + `1`},
		},
		"without suffixes": {
			config: Config{Translation: "UnderscoreEscapingWithoutSuffixes"}, metric: sum("http.server.time", "s", true, cumulative, intPoint(1)),
			want: []string{`http_server_time{` + id + `}` + fromTo + `1`},
		},
		"promoted attributes yield to those of the data point": {
			config: Config{PromoteResourceAttributes: []string{"host.name"}}, metric: gauge("g", "", intPoint(1), intPoint(2, attrs("host.name", "own")...)),
			want: []string{`g{host_name="node-7", ` + id + `} gauge` + fromTo + `1`, `g{host_name="own", ` + id + `} gauge` + fromTo + `2`},
		},
		"colliding attributes are joined by key order": {
			metric: gauge("g", "", intPoint(1, attrs("a_b", "last", "a.b", "first", "a-b", "")...)),
			want:   []string{`g{a_b="first;last", ` + id + `} gauge` + fromTo + `1`},
		},
		"identity wins over attributes, the name attribute is ignored": {
			metric: gauge("g", "", intPoint(1, attrs("job", "forged", "__name__", "forged", "9lives", "x", "_private", "y")...)),
			want:   []string{`g{` + id + `, key_9lives="x", key_private="y"} gauge` + fromTo + `1`},
		},
		"no recorded value": {
			metric: sum("c", "", true, cumulative, &pb.NumberDataPoint{StartTimeUnixNano: at0, TimeUnixNano: atNano, Flags: 1}),
			want:   []string{`c_total{` + id + `}` + fromTo + `stale`},
		},
		"a start after the end is no start": {
			metric: sum("c", "", true, cumulative, &pb.NumberDataPoint{StartTimeUnixNano: atNano + ms, TimeUnixNano: atNano, Value: &pb.NumberDataPoint_AsInt{AsInt: 1}}),
			want:   []string{`c_total{` + id + `} @1700000000000 from 0 = 1`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, tally, err := run(newTestDecoder(t, c.config), marshal(t, request(shop, c.metric)))
			if err != nil || tally.total() != 0 {
				t.Fatalf("error %v, rejected %v", err, tally.rejected)
			}
			if diff := cmp.Diff(c.want, r.lines); diff != "" {
				t.Errorf("series (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAttributeValues(t *testing.T) {
	// If this fails, attributes that are not text become other labels than Prometheus makes of them.
	list := &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{
		text("a"), {Value: &commonpb.AnyValue_IntValue{IntValue: 1}}, {},
	}}}}
	object := &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{
		attr("z", "1"), {Key: "a", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}},
	}}}}
	for _, c := range []struct {
		value *commonpb.AnyValue
		want  string
	}{
		{text("x"), "x"},
		{&commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}, "true"},
		{&commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{}}, "false"},
		{&commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: -5}}, "-5"},
		{&commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.1}}, "0.1"},
		{&commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 1e21}}, "1e+21"},
		{&commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: math.Inf(1)}}, "+Inf"},
		{&commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{1, 2}}}, "AQI="},
		{list, `["a",1,null]`},
		{object, `{"a":true,"z":"1"}`},
		{&commonpb.AnyValue{}, ""},
	} {
		got, err := valueText(marshal(t, c.value))
		if err != nil || got != c.want {
			t.Errorf("%v: got %q, error %v, want %q", c.value, got, err, c.want)
		}
	}
}

func TestDataPointsThatAreLeftOut(t *testing.T) {
	// If this fails, one bad data point costs the good ones beside it, or is lost without a word to the sender.
	deep := text("x")
	for range 40 {
		deep = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{deep}}}}
	}
	bad := func(p *pb.HistogramDataPoint) *pb.Metric {
		p.TimeUnixNano, p.StartTimeUnixNano = atNano, at0
		return histogram("m", "", cumulative, p)
	}
	for name, c := range map[string]struct {
		metric *pb.Metric
		why    reason
	}{
		"no time":            {gauge("m", "", &pb.NumberDataPoint{Value: &pb.NumberDataPoint_AsInt{AsInt: 1}}), reasonNoTime},
		"time after 2262":    {gauge("m", "", &pb.NumberDataPoint{TimeUnixNano: math.MaxUint64, Value: &pb.NumberDataPoint_AsInt{AsInt: 1}}), reasonNoTime},
		"no value":           {gauge("m", "", &pb.NumberDataPoint{TimeUnixNano: atNano}), reasonNoValue},
		"no temporality":     {sum("m", "", true, pb.AggregationTemporality_AGGREGATION_TEMPORALITY_UNSPECIFIED, intPoint(1)), reasonTemporality},
		"odd temporality":    {histogram("m", "", 77, &pb.HistogramDataPoint{TimeUnixNano: atNano}), reasonTemporality},
		"delta backwards":    {sum("m", "", true, delta, &pb.NumberDataPoint{StartTimeUnixNano: atNano + 1, TimeUnixNano: atNano, Value: &pb.NumberDataPoint_AsInt{}}), reasonStart},
		"too few buckets":    {bad(&pb.HistogramDataPoint{BucketCounts: []uint64{1}, ExplicitBounds: []float64{1, 2}}), reasonBuckets},
		"bounds fall":        {bad(&pb.HistogramDataPoint{BucketCounts: []uint64{1, 1, 1}, ExplicitBounds: []float64{2, 1}}), reasonBuckets},
		"bound is no number": {bad(&pb.HistogramDataPoint{BucketCounts: []uint64{1, 1}, ExplicitBounds: []float64{math.NaN()}}), reasonBuckets},
		"endless buckets":    {bad(&pb.HistogramDataPoint{BucketCounts: make([]uint64, 2000), ExplicitBounds: make([]float64, 1999)}), reasonBuckets},
		"no name":            {gauge("", "", intPoint(1)), reasonName},
		"endless name":       {gauge(strings.Repeat("n", 5000), "", intPoint(1)), reasonName},
		"no key":             {gauge("m", "", intPoint(1, attr("", "x"))), reasonAttribute},
		"deep value":         {gauge("m", "", intPoint(1, &commonpb.KeyValue{Key: "k", Value: deep})), reasonAttribute},
		"large value":        {gauge("m", "", intPoint(1, attr("k", strings.Repeat("v", 40<<10)))), reasonAttribute},
	} {
		t.Run(name, func(t *testing.T) {
			good := gauge("good", "", intPoint(1))
			r, tally, err := run(newTestDecoder(t, Config{}), marshal(t, request(nil, good, c.metric, good)))
			if err != nil {
				t.Fatal(err)
			}
			if tally.rejected[c.why] != 1 || tally.total() != 1 || tally.points != 3 || len(r.lines) != 2 {
				t.Errorf("rejected %v of %d, samples %v; want one for reason %d beside two good samples", tally.rejected, tally.points, r.lines, c.why)
			}
			if msg := tally.message(&ingest.Refused{}); !strings.HasPrefix(msg, "rejected data points: 1 ") || len(msg) > 500 {
				t.Errorf("message %q", msg)
			}
		})
	}
}

func TestResourceThatCannotBeRead(t *testing.T) {
	// If this fails, series of an unknown place are counted as if they belonged to no job.
	m := request([]*commonpb.KeyValue{attr("service.name", strings.Repeat("x", 40<<10))}, gauge("g", "", intPoint(1), intPoint(2)))
	r, tally, err := run(newTestDecoder(t, Config{}), marshal(t, m))
	if err != nil || tally.rejected[reasonResource] != 2 || len(r.lines) != 0 {
		t.Errorf("error %v, rejected %v, samples %v", err, tally.rejected, r.lines)
	}
}

func TestInvalidUTF8(t *testing.T) {
	// If this fails, labels that no query can name get into the log.
	b := marshal(t, request(attrs("service.name", "x"), gauge("good", "", intPoint(1)), gauge("metric", "", intPoint(1, attr("key", "value")))))
	for _, part := range []string{"metric", "key", "value"} {
		broken := []byte(strings.Replace(string(b), part, part[:1]+"\xff"+part[2:], 1))
		r, tally, err := run(newTestDecoder(t, Config{}), broken)
		if err != nil || tally.rejected[reasonAttribute] != 1 || len(r.lines) != 1 {
			t.Errorf("%s: error %v, rejected %v, samples %v", part, err, tally.rejected, r.lines)
		}
	}
}

func TestRefusedByTheGate(t *testing.T) {
	// If this fails, a sender over its limits is told that all is well.
	d := newTestDecoder(t, Config{})
	r := newRecorder()
	r.refuse = true
	d.begin(r)
	if err := d.request(marshal(t, request(nil, histogram("h", "", delta, &pb.HistogramDataPoint{TimeUnixNano: atNano})))); err != nil {
		t.Fatal(err)
	}
	if d.tally.rejected[reasonGate] != 1 {
		t.Errorf("rejected %v, want one point", d.tally.rejected)
	}
	outcome := r.Outcome()
	if msg := d.tally.message(&outcome.Refused); !strings.Contains(msg, "SeriesLimit 2") {
		t.Errorf("message %q does not name the gate's reason", msg)
	}
}

func TestResourceBehindItsMetrics(t *testing.T) {
	// If this fails, senders that write fields in another order lose their job label.
	m := request(shop, gauge("g", "", intPoint(1)))
	rm := m.ResourceMetrics[0]
	scope := appendBytes([]byte{byte(tagResourceScope)}, marshal(t, rm.ScopeMetrics[0]))
	scope = append(append(scope, byte(tagResourceResource)), appendBytes(nil, marshal(t, rm.Resource))...)
	body := appendBytes([]byte{byte(tagRequestResource)}, scope)
	r, _, err := run(newTestDecoder(t, Config{}), body)
	if err != nil || len(r.lines) != 1 || !strings.Contains(r.lines[0], `job="shop/checkout"`) {
		t.Errorf("error %v, samples %v", err, r.lines)
	}
}

func TestSeriesAreLearnedOnce(t *testing.T) {
	// If this fails, each sample of a known series pays for its labels again.
	d := newTestDecoder(t, Config{})
	b := marshal(t, request(shop, sum("c", "", true, cumulative, intPoint(1, attr("a", "1")), intPoint(1, attr("a", "2")), intPoint(2, attr("a", "1")))))
	r := newRecorder()
	for range 2 {
		d.begin(r)
		if err := d.request(b); err != nil {
			t.Fatal(err)
		}
		d.end()
	}
	if r.learned != 2 || len(r.lines) != 6 {
		t.Errorf("learned %d series from %d samples, want 2 from 6", r.learned, len(r.lines))
	}
}

func TestSeriesAreToldApart(t *testing.T) {
	// If this fails, two series are counted as one.
	var ms []*pb.Metric
	for _, name := range []string{"a", "b"} {
		for _, unit := range []string{"", "s"} {
			for _, temporality := range []pb.AggregationTemporality{cumulative, delta} {
				ms = append(ms, sum(name, unit, true, temporality, intPoint(1), intPoint(1, attr("k", "v")), intPoint(1, attr("kv", ""))))
				ms = append(ms, histogram(name, unit, temporality, &pb.HistogramDataPoint{TimeUnixNano: atNano, BucketCounts: []uint64{0, 0, 0}, ExplicitBounds: []float64{0, 1}}))
			}
			ms = append(ms, gauge(name, unit, intPoint(1)))
		}
		ms = append(ms, summary(name, &pb.SummaryDataPoint{TimeUnixNano: atNano}))
	}
	m := request(shop, ms...)
	m.ResourceMetrics = append(m.ResourceMetrics, request(attrs("service.name", "other"), ms...).ResourceMetrics...)
	r, _, err := run(newTestDecoder(t, Config{}), marshal(t, m))
	if err != nil {
		t.Fatal(err)
	}
	if r.learned != len(r.lines) {
		t.Errorf("%d series for %d samples of different series", r.learned, len(r.lines))
	}
}

func TestMalformedProtobuf(t *testing.T) {
	// If this fails, half a request is taken for a whole one, or a broken one takes the process down.
	b := marshal(t, request(shop, sum("c", "", true, cumulative, intPoint(1, attr("a", "1")))))
	d := newTestDecoder(t, Config{})
	for i := 1; i < len(b); i++ {
		if _, _, err := run(d, b[:i]); err == nil {
			t.Errorf("cut at %d of %d: no error", i, len(b))
		}
	}
	twice := append(marshal(t, gauge("g", "", intPoint(1))), marshal(t, sum("", "", true, cumulative))...)
	scope := appendBytes([]byte{byte(tagScopeMetric)}, twice)
	resource := appendBytes([]byte{byte(tagResourceScope)}, scope)
	for name, body := range map[string][]byte{
		"group":       {0x0b, 0x0c},
		"number 0":    {0x02, 0x00},
		"long varint": {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"huge length": {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"data twice":  appendBytes([]byte{byte(tagRequestResource)}, resource),
	} {
		if _, _, err := run(d, body); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, _, err := run(d, marshal(t, &metricspb.ExportMetricsServiceRequest{})); err != nil {
		t.Errorf("empty request: %v", err)
	}
}
