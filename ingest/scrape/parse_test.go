package scrape

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
)

const openMetrics = "application/openmetrics-text; version=1.0.0"

const now = bus.Time(1_700_000_000_000)

// newExposition returns a reader of one target's bodies whose gate keeps all that names matches.
func newExposition(t testing.TB, c Job, names string) (*exposition, *ingest.Gate, *journal) {
	t.Helper()
	g, log := newGate(t, names, func() bus.Time { return now })
	return &exposition{
		job: &c, target: bus.Labels{{Name: "instance", Value: "a:1"}, {Name: "job", Value: "j"}}, hash: g.Hash,
		series: map[ingest.Hash]*seen{}, ids: map[string]*seen{},
	}, g, log
}

// read reads one body and returns what the log got.
func read(t testing.TB, e *exposition, g *ingest.Gate, log *journal, body, contentType string) ([]string, error) {
	t.Helper()
	before := log.Last()
	a := g.Begin(ingest.Sender{Name: "scrape"})
	if err := e.read(a, []byte(body), contentType, now); err != nil {
		a.Drop()
		return nil, err
	}
	if _, err := a.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := log.arrivals(t, 1)
	if log.Last() == before {
		return nil, nil
	}
	return all[len(all)-1], nil
}

func TestFormats(t *testing.T) {
	// If this fails, scraped series have other names, labels, times or starts than in Prometheus, and SLOs count nothing or wrongly.
	for name, c := range map[string]struct {
		job               Job
		contentType, body string
		want              []string
	}{
		"text": {Job{}, "text/plain; version=0.0.4", `# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200",path="/\"x\""} 1027 1699999999000
requests_total{code="500"} 3
# TYPE temperature gauge
temperature 36.6
# TYPE latency summary
latency{quantile="0.5"} 0.2
latency_sum 12
latency_count 50
untyped 7
`, []string{
			`latency_count{instance="a:1", job="j"} @1700000000000 = 50`,
			`latency_sum{instance="a:1", job="j"} @1700000000000 = 12`,
			`latency{instance="a:1", job="j", quantile="0.5"} gauge @1700000000000 = 0.2`,
			`requests_total{code="200", instance="a:1", job="j", path="/\"x\""} @1699999999000 = 1027`,
			`requests_total{code="500", instance="a:1", job="j"} @1700000000000 = 3`,
			`temperature{instance="a:1", job="j"} gauge @1700000000000 = 36.6`,
			`untyped{instance="a:1", job="j"} @1700000000000 = 7`,
		}},
		"histogram": {Job{}, "text/plain", `# TYPE h histogram
h_bucket{le="1"} 2
h_bucket{le="+Inf"} 3
h_sum 4
h_count 3
`, []string{
			`h_bucket{instance="a:1", job="j", le="+Inf"} @1700000000000 = 3`,
			`h_bucket{instance="a:1", job="j", le="1.0"} @1700000000000 = 2`,
			`h_count{instance="a:1", job="j"} @1700000000000 = 3`,
			`h_sum{instance="a:1", job="j"} @1700000000000 = 4`,
		}},
		"OpenMetrics": {Job{}, openMetrics, `# TYPE requests counter
requests_total{code="200"} 10 # {trace_id="x"} 1 1.5
requests_created{code="200"} 1699999000.5
requests_total{code="500"} 2
# TYPE h histogram
h_bucket{a="1",le="1.0"} 1
h_bucket{a="1",le="+Inf"} 2
h_count{a="1"} 2
h_sum{a="1"} 3
h_created{a="1"} 1699999001
# TYPE up_since_created gauge
up_since_created 5
# TYPE later counter
later_total 1
later_created 1800000000
# EOF
`, []string{
			`h_bucket{a="1", instance="a:1", job="j", le="+Inf"} @1700000000000 from 1699999001000 = 2`,
			`h_bucket{a="1", instance="a:1", job="j", le="1.0"} @1700000000000 from 1699999001000 = 1`,
			`h_count{a="1", instance="a:1", job="j"} @1700000000000 from 1699999001000 = 2`,
			`h_sum{a="1", instance="a:1", job="j"} @1700000000000 from 1699999001000 = 3`,
			`later_total{instance="a:1", job="j"} @1700000000000 = 1`,
			`requests_total{code="200", instance="a:1", job="j"} @1700000000000 from 1699999000500 = 10`,
			`requests_total{code="500", instance="a:1", job="j"} @1700000000000 = 2`,
			`up_since_created{instance="a:1", job="j"} gauge @1700000000000 = 5`,
		}},
		"colliding labels": {Job{}, "text/plain", `x{job="own",exported_job="older",instance=""} 1` + "\n", []string{
			`x{exported_exported_job="own", exported_job="older", instance="a:1", job="j"} @1700000000000 = 1`,
		}},
		"honoured labels": {Job{HonorLabels: true}, "text/plain", `x{job="own",instance=""} 1` + "\n", []string{
			`x{instance="a:1", job="own"} @1700000000000 = 1`,
		}},
		"ignored timestamps": {Job{IgnoreTimestamps: true}, "text/plain", "x 1 5\n", []string{`x{instance="a:1", job="j"} @1700000000000 = 1`}},
		"no content type":    {Job{}, "", "x 1\n", []string{`x{instance="a:1", job="j"} @1700000000000 = 1`}},
		"label limits": {Job{LabelLimit: 4, LabelNameLimit: 10, LabelValueLimit: 6}, "text/plain", `ok{a="1"} 1
many{a="1",b="2"} 1
name{long_long_name="1"} 1
value{a="1234567"} 1
`, []string{`ok{a="1", instance="a:1", job="j"} @1700000000000 = 1`}},
	} {
		t.Run(name, func(t *testing.T) {
			e, g, log := newExposition(t, c.job, ".+")
			for range 2 { // the second time all series are known
				got, err := read(t, e, g, log, c.body, c.contentType)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("samples (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestBodiesThatFail(t *testing.T) {
	// If this fails, half a page is counted as a whole one.
	for name, c := range map[string]struct {
		job               Job
		contentType, body string
		want              error
	}{
		"syntax":                {Job{}, "text/plain", "x 1\ny{a=} 2\n", errSyntax},
		"a page of HTML":        {Job{}, "text/html", "<html></html>", errSyntax},
		"OpenMetrics cut short": {Job{}, openMetrics, "x 1\n", errSyntax},
		"too many samples":      {Job{SampleLimit: 2}, "text/plain", "a 1\nb 2\nc 3\n", errSamples},
		"protobuf":              {Job{}, "application/vnd.google.protobuf", "\x00", errProtobuf},
	} {
		e, g, log := newExposition(t, c.job, ".+")
		if _, err := read(t, e, g, log, c.body, c.contentType); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if log.Last() != 0 {
			t.Errorf("%s: something was stored", name)
		}
	}
}

func TestLabelsInAnotherOrder(t *testing.T) {
	// If this fails, a target that writes its labels in another order each time has its series ended again and again.
	e, g, log := newExposition(t, Job{}, ".+")
	for _, body := range []string{`x{a="1",b="2"} 1`, `x{b="2",a="1"} 2`, `x{ a="1", b="2" } 3`} {
		got, err := read(t, e, g, log, body+"\n", "text/plain")
		if err != nil || len(got) != 1 || !strings.HasPrefix(got[0], `x{a="1", b="2", instance`) {
			t.Errorf("%s: %v, %v", body, got, err)
		}
		if len(e.series) != 1 || len(e.ids) != 1 {
			t.Errorf("%s: %d ways to write %d series are remembered", body, len(e.series), len(e.ids))
		}
		for _, s := range e.series {
			if s.number != e.number {
				t.Errorf("%s: the series is taken for gone", body)
			}
		}
	}
}

func TestOnlyNeededSeriesAreRemembered(t *testing.T) {
	// If this fails, a target with millions of series that nobody needs fills the memory.
	e, g, log := newExposition(t, Job{}, "wanted")
	if _, err := read(t, e, g, log, "wanted 1\nother 2\nwanted{own=\"time\"} 3 1699999999000\n", "text/plain"); err != nil {
		t.Fatal(err)
	}
	if len(e.series) != 1 || e.count != (counts{samples: 3, offered: 3, added: 3}) {
		t.Errorf("%d series remembered, counts %+v", len(e.series), e.count)
	}
}

func TestManyCreatedLines(t *testing.T) {
	// If this fails, a large family without start timestamps is read in quadratic time and misses its timeout.
	e, g, log := newExposition(t, Job{}, ".+")
	var b strings.Builder
	b.WriteString("# TYPE c counter\n")
	const n = 50_000
	for i := range n {
		b.WriteString(`c_total{n="` + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + `",i="` + strings.Repeat("1", i%200) + "\"} 1\n")
	}
	b.WriteString("# EOF\n")
	got, err := read(t, e, g, log, b.String(), openMetrics)
	if err != nil || len(got) != n {
		t.Errorf("%d samples, %v", len(got), err)
	}
}

// FuzzRead holds that no body makes the reader fail in any way but an error, and that a body that was read once is read again.
func FuzzRead(f *testing.F) {
	// If this fails, a page that some target shows takes the process down.
	f.Add([]byte("# TYPE c counter\nc_total{a=\"b\"} 1 # {x=\"y\"} 1\nc_created{a=\"b\"} 5\n# EOF\n"), true)
	f.Add([]byte("# TYPE s summary\n{\"s.dot\",quantile=\"0.5\"} NaN 12\ns_sum 1e300\n# HELP s \\n\n"), false)
	shared, _ := newGate(f, ".+", func() bus.Time { return now })
	f.Fuzz(func(t *testing.T, body []byte, open bool) {
		contentType := "text/plain"
		if open {
			contentType = openMetrics
		}
		e := &exposition{job: &Job{SampleLimit: 1000}, hash: shared.Hash, series: map[ingest.Hash]*seen{}, ids: map[string]*seen{}}
		var results []string
		for range 2 {
			a := shared.Begin(ingest.Sender{Name: "scrape"})
			err := e.read(a, slices.Clone(body), contentType, now)
			a.Drop()
			results = append(results, strings.TrimSpace(errText(err)))
			if err == nil && len(e.pending) != 0 {
				t.Error("samples are left behind")
			}
		}
		if results[0] != results[1] {
			t.Errorf("first %q, then %q", results[0], results[1])
		}
	})
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
