package openslo

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// APIVersionAlpha is what documents of the first version say. Its SLO names its window by unit and count and has the queries of a ratio
// in the objectives. It is compiled as the v1 document that says the same, whose parts keep their places in the file. As the tools that
// took it did: a missing budgetingMethod is Occurrences, a window that is neither called rolling nor has a calendar is rolling, value and
// op mean nothing beside ratioMetrics, and {{.window}} in a query is filled in.
const APIVersionAlpha = "openslo/v1alpha"

func alphaKinds() []mesh.Kind {
	return []mesh.Kind{{APIVersion: APIVersionAlpha, Kind: KindSLO}, {APIVersion: APIVersionAlpha, Kind: KindService}}
}

type alphaSpec struct {
	Description     string           `json:"description"`
	Service         string           `json:"service"`
	Indicator       *alphaIndicator  `json:"indicator"`
	TimeWindows     []alphaWindow    `json:"timeWindows"`
	BudgetingMethod string           `json:"budgetingMethod"`
	Objectives      []alphaObjective `json:"objectives"`
}

type alphaIndicator struct {
	ThresholdMetric *alphaMetric `json:"thresholdMetric"`
}

type alphaWindow struct {
	Unit      string      `json:"unit"`
	Count     json.Number `json:"count"`
	IsRolling *bool       `json:"isRolling"`
	Calendar  *mesh.Node  `json:"calendar"`
}

type alphaObjective struct {
	DisplayName     string       `json:"displayName"`
	Op              *mesh.Node   `json:"op"`
	Value           *mesh.Node   `json:"value"`
	Target          *mesh.Node   `json:"target"`
	TimeSliceTarget *mesh.Node   `json:"timeSliceTarget"`
	TimeSliceWindow *mesh.Node   `json:"timeSliceWindow"` // of v1, and used
	RatioMetrics    *alphaRatios `json:"ratioMetrics"`
}

type alphaRatios struct {
	Counter     *bool        `json:"counter"`
	Incremental *bool        `json:"incremental"` // its older name
	Good        *alphaMetric `json:"good"`
	Total       *alphaMetric `json:"total"`
}

type alphaMetric struct {
	Source    string     `json:"source"`
	QueryType string     `json:"queryType"`
	Query     *mesh.Node `json:"query"`
	Metadata  *mesh.Node `json:"metadata"`
}

// An alpha is a document of the first version that has been read.
type alpha struct {
	d      *mesh.Document
	o      object[alphaSpec]
	groups [][]int // objectives with the same queries, each group of which is one v1 SLO
	exact  bool    // queries keep their length, so that places in them stay right
}

// compileAlpha compiles a document of the first version.
func (r *run) compileAlpha(d *mesh.Document, def *mesh.Definition) {
	if d.Kind == KindService {
		var o object[serviceSpec]
		r.decode(d, &o, &o.Metadata, def)
		r.description(d, o.Spec.Description)
		return
	}
	a, ok := r.alpha(d)
	if !ok {
		def.GlobalNamespace, def.Labels = r.globalNamespace(d, &a.o.Metadata), r.labels(d, &a.o.Metadata)
		return
	}
	out := make([]slo.Objective, len(a.o.Spec.Objectives))
	for _, g := range a.groups {
		v1 := *d
		v1.Root = a.rewrite(g)
		r.compileSLO(&v1, def)
		var os []slo.Objective
		if json.Unmarshal(def.Compiled, &os) != nil || len(os) != len(out) {
			def.Compiled = nil // a problem has been told
			return
		}
		for _, i := range g {
			out[i] = os[i]
		}
	}
	encode(def, out)
}

// alpha reads a document and checks what its v1 form would not show. Without ok a problem has been told.
func (r *run) alpha(d *mesh.Document) (*alpha, bool) {
	before := len(r.problems)
	a := &alpha{d: d, exact: true}
	for _, path := range []string{"spec.timeWindow", "spec.indicator.spec", "spec.indicatorRef", "spec.alertPolicies"} {
		if node(d, path) != nil {
			field := path[strings.LastIndexByte(path, '.')+1:]
			r.add(d.Problem("apiVersion", fmt.Sprintf("the document says %s, but its field %s is one of %s", APIVersionAlpha, field, APIVersion), "write apiVersion: "+APIVersion))
			return a, false
		}
	}
	r.add(d.Decode("", &a.o)...)
	s := &a.o.Spec
	if n := d.Node("spec.timeWindows"); n != nil && n.Kind == mesh.NodeList && len(n.Items) > 1 {
		r.add(d.Problem("spec.timeWindows", fmt.Sprintf("timeWindows must have exactly one item, found %d", len(n.Items)), "write - {unit: Day, count: 30, isRolling: true}"))
	}
	for i := range s.TimeWindows {
		r.alphaWindow(d, fmt.Sprintf("spec.timeWindows[%d]", i), &s.TimeWindows[i])
	}
	if s.Indicator != nil {
		r.alphaMetric(d, "spec.indicator.thresholdMetric", s.Indicator.ThresholdMetric)
	}
	if len(s.Objectives) > maxObjectives {
		r.add(d.Problem("spec.objectives", fmt.Sprintf("the SLO has %d objectives; at most %d are taken", len(s.Objectives), maxObjectives), "split it"))
		return a, false
	}
	groups := map[string]int{}
	for i := range s.Objectives {
		m, path := s.Objectives[i].RatioMetrics, fmt.Sprintf("spec.objectives[%d].ratioMetrics", i)
		key := ""
		if m != nil {
			key = string(d.Node(path).AppendJSON(nil))
			r.alphaRatios(d, path, m, s.Indicator != nil)
		}
		g, ok := groups[key]
		if !ok {
			g = len(a.groups)
			groups[key], a.groups = g, append(a.groups, nil)
		}
		a.groups[g] = append(a.groups[g], i)
	}
	if len(a.groups) == 0 {
		a.groups = [][]int{{}} // v1 tells what is missing
	}
	return a, len(r.problems) == before
}

func (r *run) alphaRatios(d *mesh.Document, path string, m *alphaRatios, threshold bool) {
	if threshold {
		r.add(d.KeyProblem(path, "ratioMetrics and indicator.thresholdMetric exclude each other", "keep one of them"))
	}
	if m.Counter != nil && m.Incremental != nil {
		r.add(d.KeyProblem(path+".incremental", "incremental is the older name of counter, which stands there too", "keep counter"))
	}
	r.alphaMetric(d, path+".good", m.Good)
	r.alphaMetric(d, path+".total", m.Total)
}

func (r *run) alphaMetric(d *mesh.Document, path string, m *alphaMetric) {
	switch {
	case m == nil && node(d, path) == nil:
		r.absent(d, path, path+" is missing", "write {source: prometheus, queryType: promql, query: …}")
	case m == nil:
	case m.Metadata != nil:
		r.add(d.KeyProblem(path+".metadata", "metadata of a query is not understood", "take it out, or write what it says into the query"))
	case m.Source == "" && stringAt(d, path+".source") || node(d, path+".source") == nil:
		r.absent(d, path+".source", path+".source is missing", "write source: prometheus")
	}
}

// unitsAlpha are the units of a window with the signs of v1's duration.
var unitsAlpha = []struct{ name, sign string }{
	{"Minute", "m"}, {"Hour", "h"}, {"Day", "d"}, {"Week", "w"}, {"Month", "M"}, {"Quarter", "Q"}, {"Year", "Y"}, {"Second", ""},
}

func (r *run) alphaWindow(d *mesh.Document, path string, w *alphaWindow) {
	var names []string
	known := false
	for _, u := range unitsAlpha {
		names = append(names, u.name)
		known = known || u.name == w.Unit
	}
	switch {
	case node(d, path+".unit") == nil:
		r.absent(d, path+".unit", path+".unit is missing", "write for example unit: Day")
	case !known && stringAt(d, path+".unit"):
		hint := "known: " + strings.Join(names, ", ")
		if n := mesh.Nearest(w.Unit, names); n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		}
		r.add(d.Problem(path+".unit", fmt.Sprintf("unknown unit %q", w.Unit), hint))
	}
	switch n := node(d, path+".count"); {
	case n == nil:
		r.absent(d, path+".count", path+".count is missing", "write for example count: 30")
	case n.Kind != mesh.NodeNumber:
	default:
		count, err := strconv.Atoi(w.Count.String())
		switch {
		case err != nil || count <= 0 || count > 1_000_000_000:
			r.add(d.Problem(path+".count", fmt.Sprintf("count must be a whole number above 0, found %s", w.Count), "for example 30"))
		case w.Unit == "Second" && count%60 != 0:
			r.add(d.Problem(path+".count", fmt.Sprintf("a window of %d seconds is no whole number of minutes", count), "for example 3600"))
		}
	}
}

// duration returns the window in v1's shorthand; it has been checked.
func (w *alphaWindow) duration() string {
	for _, u := range unitsAlpha {
		if u.name == w.Unit && u.sign != "" {
			return w.Count.String() + u.sign
		}
	}
	count, _ := strconv.Atoi(w.Count.String())
	return strconv.Itoa(count/60) + "m"
}

var alphaTemplate = regexp.MustCompile(`\{\{-?\s*\.window\s*-?\}\}`)

// fill writes 5m for the template variable of queries.
func (a *alpha) fill(query string) string {
	return alphaTemplate.ReplaceAllStringFunc(query, func(s string) string {
		if !a.exact || strings.Contains(s, "\n") {
			return "5m"
		}
		return "5m" + strings.Repeat(" ", len(s)-len("5m"))
	})
}
