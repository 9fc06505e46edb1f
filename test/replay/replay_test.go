package replay

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/ingest/history"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/report"
)

const begin = int64(1_800_000_000_000)

func number(v int) float64 { return float64(v) }

// incident is a service whose targets are scraped every step at their own offsets: 20 requests a second each, and from the second hour on a
// tenth of them fail for ten minutes. One target restarts, one is away for a while, one series of errors is born with its first error.
func incident(step int64) []recording {
	var out []recording
	for target := range 7 {
		for _, code := range []string{"200", "500"} {
			first := begin + 1000*int64(target) + 7*int64(target)
			errors := func(i int) int {
				since := int64(i)*step - 3_600_000
				return int(min(max(since, 0), 600_000) / 1000 * 2)
			}
			value := func(i int) float64 {
				total, bad := int(int64(i)*step/1000*20), errors(i)
				if target == 3 && i > 100 { // it began anew
					total, bad = total-int(100*step/1000*20), bad-errors(100)
				}
				switch {
				case target == 5 && i > 50 && i < 90, target == 6 && code == "500" && bad == 0:
					return math.NaN()
				case code == "500":
					return number(bad)
				}
				return number(total - bad)
			}
			out = append(out, recording{labels: map[string]string{"__name__": "http_requests_total", "service": "shop", "job": "shop", "instance": fmt.Sprint("i", target), "code": code}, first: first, step: step, value: value})
		}
	}
	out = append(out, recording{labels: map[string]string{"__name__": "http_requests_total", "service": "other"}, first: begin, step: step, value: number})
	return out
}

func definitions(t testing.TB, target, window string) app.ReplayDefinitions {
	t.Helper()
	d, problems, err := app.ReplayFiles("shop.yaml", shop(target, window))
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return d
}

func run(t testing.TB, source history.Source, hours bus.Time, sets ...app.ReplayDefinitions) *report.Report {
	t.Helper()
	r, err := app.Replay(t.Context(), app.ReplayConfig{Definitions: sets, Source: source, From: bus.Time(begin), Until: bus.Time(begin) + hours*bus.Hour, Step: 10 * bus.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func prometheus(t testing.TB, c history.Config) *history.Prometheus {
	t.Helper()
	p, err := history.NewPrometheus(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func runs(t testing.TB, r *report.Report) string {
	t.Helper()
	b, err := json.MarshalIndent(r.Runs, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// file writes the recordings as OpenMetrics.
func file(t testing.TB, series []recording, last int64) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# TYPE http_requests counter\n")
	for i := range series {
		var ls []string
		for _, p := range pairs(series[i].labels) {
			if p.Name != "__name__" {
				ls = append(ls, fmt.Sprintf("%s=%q", p.Name, p.Value))
			}
		}
		series[i].each(0, last, func(at int64, v float64) {
			fmt.Fprintf(&b, "http_requests_total{%s} %g %d.%03d\n", strings.Join(ls, ","), v, at/1000, at%1000)
		})
	}
	b.WriteString("# EOF\n")
	path := filepath.Join(t.TempDir(), "shop.om")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The same history would give another answer by the way it is read.
func TestSourcesAgree(t *testing.T) {
	series, hours := incident(15_000), bus.Time(9)
	last := begin + int64(hours)*3_600_000 - 1
	s := serve(t, last, series)
	want := ""
	for _, c := range []struct {
		name   string
		source func() history.Source
		kind   string
	}{
		{"streamed", func() history.Source { return prometheus(t, history.Config{URL: s.URL}) }, history.ProtocolStreamed},
		{"streamed, in slices of minutes", func() history.Source { return prometheus(t, history.Config{URL: s.URL, SliceBytes: 16 << 10}) }, history.ProtocolStreamed},
		{"whole answers", func() history.Source { s.samples = true; return prometheus(t, history.Config{URL: s.URL}) }, history.ProtocolSamples},
		{"HTTP API", func() history.Source { s.noRead = true; return prometheus(t, history.Config{URL: s.URL}) }, history.ProtocolAPI},
		{"file", func() history.Source { return history.NewOpenMetrics(file(t, series, last)) }, history.ProtocolFile},
	} {
		r := run(t, c.source(), hours, definitions(t, "0.99", "4h"))
		got := runs(t, r)
		if want == "" {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" || r.Source.Protocol != c.kind {
			t.Errorf("%s, by %s (-streamed +got):\n%s", c.name, r.Source.Protocol, diff)
		}
	}
	if s.asked["/api/v1/query"] == 0 {
		t.Error("the HTTP API was never asked")
	}
}

// A user would be told another SLI than the recorded counters have: counted by hand, with a reset, a target that was away and a series
// that was born.
func TestCountsAreExact(t *testing.T) {
	const step, hours = 15_000, 3
	series := incident(step)
	last := begin + hours*3_600_000 - 1
	good, total := 0.0, 0.0
	for i := range series {
		if series[i].labels["service"] != "shop" {
			continue
		}
		before, some := 0.0, series[i].labels["code"] == "500" && series[i].labels["instance"] == "i6" // born under watch: its first value counts
		series[i].each(begin, last, func(_ int64, v float64) {
			if d := v - before; some && d < 0 {
				total += v
				good += v * number(1-strings.Count(series[i].labels["code"], "500"))
			} else if some {
				total += d
				good += d * number(1-strings.Count(series[i].labels["code"], "500"))
			}
			before, some = v, true
		})
	}
	r := run(t, prometheus(t, history.Config{URL: serve(t, last, series).URL}), hours, definitions(t, "0.99", "4h"))
	st := r.Runs[0].SLOs[0].Status
	if st.Events.Good != good || st.Events.Total != total || total == 0 || good == total {
		t.Errorf("counted %v of %v, by hand %v of %v", st.Events.Good, st.Events.Total, good, total)
	}
	if c := r.Runs[0].Counts; c.Resets != 1 || c.Born != 1 || c.Lumps != 2 || c.Bad+c.Duplicate+c.Disorder+c.Stale != 0 {
		t.Errorf("%+v", c)
	}
	if s := &r.Runs[0].SLOs[0]; s.Fired(slo.SeverityPage) != 1 || s.FirstBreach == nil {
		t.Errorf("%d pages, first breach %v", s.Fired(slo.SeverityPage), s.FirstBreach)
	}
}

// Half of an answer, or an answer twice, would be counted when a server breaks off in the middle.
func TestBrokenAnswers(t *testing.T) {
	last := begin + 3*3_600_000 - 1
	s := serve(t, last, incident(15_000))
	want := runs(t, run(t, prometheus(t, history.Config{URL: s.URL}), 3, definitions(t, "0.99", "4h")))
	s.fail = func(_ string, n int, w http.ResponseWriter) bool {
		if n%2 == 0 {
			return false
		}
		w.Header().Set("Content-Type", "application/x-streamed-protobuf")
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte{5, 1, 2})
		return true
	}
	s.asked = map[string]int{}
	if diff := cmp.Diff(want, runs(t, run(t, prometheus(t, history.Config{URL: s.URL}), 3, definitions(t, "0.99", "4h")))); diff != "" {
		t.Errorf("(-whole +broken):\n%s", diff)
	}
}

// The history of a highly available pair would be counted twice.
func TestReplicas(t *testing.T) {
	last := begin + 3*3_600_000 - 1
	var one, pair []recording
	for _, r := range incident(15_000) {
		for _, replica := range []string{"a", "b"} {
			twin := r
			twin.labels = maps.Clone(r.labels)
			twin.labels["cluster"], twin.labels["__replica__"] = "c", replica
			if replica == "b" {
				twin.first += 3_001
			} else {
				one = append(one, twin)
			}
			pair = append(pair, twin)
		}
	}
	alone := run(t, prometheus(t, history.Config{URL: serve(t, last, one).URL}), 3, definitions(t, "0.99", "4h")).Runs[0].SLOs[0]
	both := run(t, prometheus(t, history.Config{URL: serve(t, last, pair).URL}), 3, definitions(t, "0.99", "4h")).Runs[0].SLOs[0]
	if diff := cmp.Diff(alone.Status.Events, both.Status.Events); diff != "" || alone.Status.Events.Total == 0 || len(alone.Alerts) != len(both.Alerts) {
		t.Errorf("%d alerts alone, %d as a pair (-alone +pair):\n%s", len(alone.Alerts), len(both.Alerts), diff)
	}
}

// A comparison would give a definition other numbers than it has alone.
func TestCompareEqualsAlone(t *testing.T) {
	last := begin + 3*3_600_000 - 1
	s := serve(t, last, incident(15_000))
	a, b := definitions(t, "0.99", "4h"), definitions(t, "0.999", "2h")
	both := run(t, prometheus(t, history.Config{URL: s.URL}), 3, a, b)
	for i, d := range []app.ReplayDefinitions{a, b} {
		alone := run(t, prometheus(t, history.Config{URL: s.URL}), 3, d)
		if diff := cmp.Diff(runs(t, alone), runs(t, &report.Report{Runs: both.Runs[i : i+1]})); diff != "" {
			t.Errorf("definition %d (-alone +compared):\n%s", i, diff)
		}
	}
}

// A live engine hears of samples when they arrive. This one feeds a stage as a live log does, each target's samples late by up to maxDelay.
func live(t *testing.T, d app.ReplayDefinitions, series []recording, hours int64, maxDelay int64, seed uint64) *engine {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	type arrival struct {
		at, t int64
		s     int
		v     float64
	}
	var as []arrival
	last := begin + hours*3_600_000 - 1
	delays := map[[2]int64]int64{} // of one scrape: by target and time
	for i := range series {
		newest := int64(0)
		series[i].each(begin, last, func(at int64, v float64) {
			key := [2]int64{int64(i / 2), at}
			if _, ok := delays[key]; !ok {
				delays[key] = rng.Int64N(maxDelay + 1)
			}
			newest = max(newest, at+delays[key]) // a sender keeps its order
			as = append(as, arrival{newest, at, i, v})
		})
	}
	slices.SortStableFunc(as, func(a, b arrival) int { return int(a.at - b.at) })
	e := newEngine(t, d)
	for _, a := range as {
		e.until(bus.Time(a.at))
		e.send(bus.Time(a.at), a.s, series[a.s].labels, bus.Time(a.t), a.v)
	}
	e.until(bus.Time(last) + bus.Minute)
	return e
}

// A person who plans by a replay would be paged at another time, or not at all: live alerts come within the arrival delay and two seconds
// of those that the replay shows.
func TestReplayedAlertTimes(t *testing.T) {
	series, hours := incident(5_000), int64(4)
	s := serve(t, begin+hours*3_600_000-1, series)
	d := definitions(t, "0.999", "30d")
	want := alertTimes(run(t, prometheus(t, history.Config{URL: s.URL}), bus.Time(hours), d))
	if len(want) < 3 {
		t.Fatalf("the replay shows %v", want)
	}
	for seed := range uint64(6) {
		delay, slack := int64(2_500), 2*bus.Second
		if seed == 0 {
			delay, slack = 0, 0 // then it is the very same
		}
		got := live(t, d, series[:14], hours, delay, seed).alerts
		slices.Sort(got)
		if len(got) != len(want) {
			t.Fatalf("live %v, replayed %v", got, want)
		}
		for i := range got {
			a, b := timeOf(t, got[i]), timeOf(t, want[i])
			if off := a - b; off < -bus.Time(delay)-slack || off > bus.Time(delay)+slack || !strings.HasPrefix(got[i], want[i][:10]) {
				t.Errorf("live %s, replayed %s: %d ms apart", got[i], want[i], off)
			}
		}
	}
}

// alertTimes returns when each alert of the first SLO fired and was resolved.
func alertTimes(r *report.Report) []string {
	var out []string
	for _, a := range r.Runs[0].SLOs[0].Alerts {
		out = append(out, a.Tier+" firing "+a.StartsAt.String())
		if a.EndsAt != 0 {
			out = append(out, a.Tier+" resolved "+a.EndsAt.String())
		}
	}
	slices.Sort(out)
	return out
}

func timeOf(t *testing.T, line string) bus.Time {
	t.Helper()
	var m slo.Moment
	if err := m.UnmarshalText([]byte(line[strings.LastIndexByte(line, ' ')+1:])); err != nil {
		t.Fatal(err)
	}
	return m.Time()
}
