package dashboards

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql/parser"

	"evenkeel.dev/bus"
	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/export"
)

const folder = "../../deploy/grafana"

// A board is what the tests look at of a dashboard.
type board struct {
	UID           string
	SchemaVersion int
	Panels        []struct {
		ID         int
		Type       string
		Title      string
		Datasource source
		GridPos    struct{ H, W, X, Y int }
		Targets    []struct {
			Datasource   source
			Expr         string
			LegendFormat string
			RefID        string
		}
	}
	Templating struct {
		List []struct {
			Name, Type string
			Definition string
		}
	}
}

type source struct{ Type, UID string }

func boards(t *testing.T) map[string]board {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) != 3 {
		t.Fatalf("dashboards: %v, %v", files, err)
	}
	out := map[string]board{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var d board
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out[filepath.Base(f)] = d
	}
	return out
}

// metrics are the label names of each metric.
type metrics map[string][]string

// read adds what a text in the Prometheus format names. A label that a scrape adds is one of each metric.
func (m metrics) read(t *testing.T, text []byte) {
	t.Helper()
	p := textparse.NewPromParser(text, labels.NewSymbolTable(), false)
	for {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if e != textparse.EntrySeries {
			continue
		}
		var ls labels.Labels
		p.Labels(&ls)
		name := ls.Get("__name__")
		if m[name] == nil {
			m[name] = []string{"job", "instance"}
		}
		ls.Range(func(l labels.Label) {
			if l.Name != "__name__" && !slices.Contains(m[name], l.Name) {
				m[name] = append(m[name], l.Name)
			}
		})
	}
}

// exported is what an engine with SLOs exports on both of its paths.
func exported(t *testing.T) metrics {
	t.Helper()
	m := metrics{}
	rate := 1.0
	full := slo.Item{Status: slo.Status{
		GlobalNamespace: "g", Service: "s", Name: "n", Objective: slo.MustDecimal("0.99"), Window: slo.Window{Type: slo.WindowRolling, Duration: slo.Duration(30 * bus.Day)}, State: slo.StateHealthy, SLI: new(slo.Decimal),
		Budget: slo.Budget{RemainingRatio: &rate}, BurnRates: []slo.BurnRate{{Window: slo.Duration(bus.Hour), Rate: &rate}}, Alerts: []slo.AlertStatus{{Tier: "page", State: slo.AlertFiring}}, AsOf: 1,
	}}
	var b strings.Builder
	if err := export.Write(&b, []slo.Item{full}, []string{export.SetEvenkeel}); err != nil {
		t.Fatal(err)
	}
	m.read(t, []byte(b.String()))
	m.read(t, engineMetrics(t))
	return m
}

// engineMetrics starts an engine and reads its /metrics once it is ready.
func engineMetrics(t *testing.T) []byte {
	t.Helper()
	s := app.Settings{Data: t.TempDir(), HTTP: "127.0.0.1:0", Config: []string{"../../deploy/examples"}}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	started, ended := make(chan app.Addresses, 1), make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, s, app.Surroundings{Logger: slog.New(slog.DiscardHandler), Err: io.Discard, Started: func(a app.Addresses) { started <- a }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	at := <-started
	deadline, beat := time.After(time.Minute), time.NewTicker(200*time.Millisecond)
	defer beat.Stop()
	for {
		text := get(t, at.HTTP+"/metrics")
		if strings.Contains(text, "evenkeel_notify_dead_total") && strings.Contains(text, `evenkeel_partition_lag_seconds{stage="slo"`) && strings.Contains(text, "evenkeel_http_requests_total") {
			return []byte(text)
		}
		select {
		case <-beat.C:
		case <-deadline:
			t.Fatalf("the engine's metrics are not whole:\n%s", text)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", url, r.StatusCode, err)
	}
	return string(b)
}

var (
	labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	legend      = regexp.MustCompile(`\{\{(\w+)\}\}`)
	variable    = regexp.MustCompile(`\$\{?(\w+)`)
)

// check parses an expression and returns the labels that its metrics have.
func (m metrics) check(expr string) (has []string, problems []string) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(strings.ReplaceAll(expr, "$__rate_interval", "5m"))
	if err != nil {
		return nil, []string{err.Error()}
	}
	var grouping []string
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			known, there := m[n.Name]
			if !there {
				problems = append(problems, n.Name+" is not exported")
			}
			for _, l := range n.LabelMatchers {
				if l.Name != "__name__" && there && !slices.Contains(known, l.Name) {
					problems = append(problems, n.Name+" has no label "+l.Name)
				}
			}
			has = append(has, known...)
		case *parser.AggregateExpr:
			grouping = append(grouping, n.Grouping...)
		}
		return nil
	})
	for _, g := range grouping {
		if !slices.Contains(has, g) {
			problems = append(problems, "nothing has the label "+g)
		}
	}
	return has, problems
}

// A panel would stay empty, since its query is no PromQL, or asks for a metric or a label that the engine does not export.
func TestDashboardsNameWhatIsExported(t *testing.T) {
	m := exported(t)
	queries := 0
	for file, b := range boards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				queries++
				has, problems := m.check(q.Expr)
				for _, l := range legend.FindAllStringSubmatch(q.LegendFormat, -1) {
					if !slices.Contains(has, l[1]) {
						problems = append(problems, "the legend names "+l[1])
					}
				}
				for _, problem := range problems {
					t.Errorf("%s, panel %q: %s: %s", file, p.Title, q.Expr, problem)
				}
			}
		}
		for _, v := range b.Templating.List {
			if v.Type == "datasource" {
				continue
			}
			parts := labelValues.FindStringSubmatch(v.Definition)
			if parts == nil {
				t.Errorf("%s, variable %s: %s is not understood", file, v.Name, v.Definition)
				continue
			}
			has, problems := m.check(parts[1])
			if len(problems) > 0 || !slices.Contains(has, parts[2]) {
				t.Errorf("%s, variable %s: %s: %v", file, v.Name, v.Definition, problems)
			}
		}
	}
	if queries < 40 {
		t.Errorf("only %d queries were found", queries)
	}
	for _, bad := range []string{"rate(", "evenkeel_no", `evenkeel_slo_info{no="x"}`, "sum by (no) (evenkeel_slo_info)"} {
		if _, problems := m.check(bad); len(problems) == 0 {
			t.Errorf("%s is taken", bad)
		}
	}
}

// Grafana would refuse a dashboard, put panels upon each other, or ask a data source that only its author has.
func TestDashboardsAreWhole(t *testing.T) {
	for file, b := range boards(t) {
		known := []string{"__rate_interval", "__data"}
		for _, v := range b.Templating.List {
			known = append(known, v.Name)
		}
		if b.UID == "" || b.SchemaVersion < 36 || b.Templating.List[0].Name != "datasource" {
			t.Errorf("%s: uid %q, schema %d, first variable %q", file, b.UID, b.SchemaVersion, b.Templating.List[0].Name)
		}
		taken, ids := map[string]string{}, map[int]bool{}
		for _, p := range b.Panels {
			if ids[p.ID] || p.Datasource != (source{"prometheus", "${datasource}"}) || len(p.Targets) == 0 || !slices.Contains([]string{"stat", "table", "timeseries"}, p.Type) {
				t.Errorf("%s, panel %q: id %d, data source %+v, %d targets, type %s", file, p.Title, p.ID, p.Datasource, len(p.Targets), p.Type)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					at := fmt.Sprint(x, " ", y)
					if taken[at] != "" || x >= 24 {
						t.Fatalf("%s: %q and %q are both at %s", file, taken[at], p.Title, at)
					}
					taken[at] = p.Title
				}
			}
			refs := map[string]bool{}
			for _, q := range p.Targets {
				if refs[q.RefID] || q.Datasource != p.Datasource {
					t.Errorf("%s, panel %q: target %s with data source %+v", file, p.Title, q.RefID, q.Datasource)
				}
				refs[q.RefID] = true
				for _, v := range variable.FindAllStringSubmatch(q.Expr, -1) {
					if !slices.Contains(known, v[1]) {
						t.Errorf("%s, panel %q: there is no variable %s", file, p.Title, v[1])
					}
				}
			}
		}
	}
}
