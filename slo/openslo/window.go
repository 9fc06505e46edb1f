package openslo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

const defaultWindow = "30d"

// window reads timeWindow: rolling, or of a calendar.
func (r *run) window(d *mesh.Document, s *sloSpec) slo.Window {
	w := slo.Window{Type: slo.WindowRolling}
	w.Duration, _ = slo.ParseDuration(defaultWindow)
	const path = "spec.timeWindow"
	switch n := node(d, path); {
	case n == nil:
		return w
	case n.Kind != mesh.NodeList:
		return w
	case len(s.TimeWindow) != 1:
		r.add(d.Problem(path, fmt.Sprintf("timeWindow must have exactly one item, found %d", len(s.TimeWindow)), "write - {duration: 30d, isRolling: true}"))
		return w
	}
	t := &s.TimeWindow[0]
	rolling := t.IsRolling != nil && *t.IsRolling
	switch {
	case t.IsRolling == nil && node(d, path+"[0].isRolling") != nil:
		return w // no boolean, which is told already
	case rolling && t.Calendar != nil:
		r.add(d.KeyProblem(path+"[0].calendar", "a rolling window has no calendar", "write isRolling: false, or leave the calendar out"))
		return w
	case t.Calendar != nil:
		if c, ok := r.calendar(d, path+"[0]", t); ok {
			return slo.NewCalendarWindow(c)
		}
		return w
	case !rolling:
		r.add(d.Problem(path+"[0].isRolling", "a window that is not rolling needs a calendar", "write isRolling: true, or calendar: {startTime: 2026-01-01 00:00:00, timeZone: Europe/Berlin}"))
		return w
	}
	if v, ok := r.duration(d, path+"[0].duration", t.Duration, "for example 30d"); ok {
		w.Duration = v
	}
	return w
}

// calendarSpec is the calendar of a timeWindow.
type calendarSpec struct {
	StartTime string `json:"startTime"`
	TimeZone  string `json:"timeZone"`
}

// calendar reads a window that begins anew with a day, week, month, quarter or year.
func (r *run) calendar(d *mesh.Document, path string, t *timeWindow) (slo.Calendar, bool) {
	before := len(r.problems)
	var spec calendarSpec
	r.add(d.Decode(path+".calendar", &spec)...)
	c := slo.Calendar{Start: spec.StartTime}
	for field, hint := range map[string]string{"startTime": "write for example 2026-01-01 00:00:00", "timeZone": "write for example Europe/Berlin"} {
		if p := path + ".calendar." + field; node(d, p) == nil {
			r.absent(d, p, p+" is missing", hint)
		}
	}
	if n := node(d, path+".duration"); n == nil || n.Kind == mesh.NodeString {
		c.Unit, c.Count = r.units(d, path+".duration", t.Duration)
	}
	if len(r.problems) > before {
		return c, false
	}
	zone, err := r.cfg.Zone(spec.TimeZone)
	if err != nil {
		r.add(d.QueryProblem(path+".calendar.timeZone", err))
		return c, false
	}
	c.Zone = zone
	return c, true
}

// units reads the length of a calendar's window.
func (r *run) units(d *mesh.Document, path, text string) (unit string, count int) {
	const example = "a calendar window has whole days, weeks, months, quarters or years: 1d, 1w, 1M, 1Q, 1Y"
	m := durationForm.FindStringSubmatch(text)
	if m == nil {
		r.add(d.Problem(path, fmt.Sprintf("%q is not a duration", text), example))
		return "", 0
	}
	if m[2] == "m" {
		r.warn(d.Problem(path, fmt.Sprintf("%q are minutes, which no calendar window has; it is taken as months", text), fmt.Sprintf("write %sM", m[1])))
		m[2] = "M"
	}
	unit = map[string]string{"d": slo.UnitDay, "w": slo.UnitWeek, "M": slo.UnitMonth, "Q": slo.UnitQuarter, "Y": slo.UnitYear}[m[2]]
	count, _ = strconv.Atoi(m[1]) // six digits at most
	switch {
	case unit == "":
		r.add(d.Problem(path, fmt.Sprintf("%q is no length of a calendar window", text), example))
	case count == 0:
		r.add(d.Problem(path, fmt.Sprintf("the duration %q is zero", text), example))
	}
	return unit, count
}

// method reads the budgeting method.
func (r *run) method(d *mesh.Document, s *sloSpec) string {
	const path = "spec.budgetingMethod"
	methods := []string{slo.MethodOccurrences, slo.MethodTimeslices, slo.MethodRatioTimeslices}
	switch {
	case slices.Contains(methods, s.BudgetingMethod):
		return s.BudgetingMethod
	case node(d, path) == nil:
		r.absent(d, path, path+" is missing", "write budgetingMethod: Occurrences")
	case stringAt(d, path):
		hint := "use Occurrences, Timeslices or RatioTimeslices"
		if n := mesh.Nearest(s.BudgetingMethod, methods); n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		}
		r.add(d.Problem(path, fmt.Sprintf("unknown budgetingMethod %q", s.BudgetingMethod), hint))
	}
	return slo.MethodOccurrences
}

// slice reads an objective's slices of time, which the methods that count time need and the other one has none of.
func (r *run) slice(d *mesh.Document, path string, o *objective, method string) *slo.Slice {
	window, target := path+".timeSliceWindow", path+".timeSliceTarget"
	before := len(r.problems)
	var s slo.Slice
	if node(d, window) != nil && method != slo.MethodOccurrences {
		s.Length = r.sliceLength(d, window, o.TimeSliceWindow)
	}
	if node(d, target) != nil && method == slo.MethodTimeslices {
		s.Target = r.sliceTarget(d, target, o.TimeSliceTarget)
	}
	switch {
	case method == slo.MethodOccurrences:
		for _, p := range []string{window, target} {
			if node(d, p) != nil {
				r.add(d.KeyProblem(p, p[len(path)+1:]+" belongs to the budgeting methods that count slices of time", "leave it out, or use budgetingMethod: Timeslices"))
			}
		}
		return nil
	case node(d, window) == nil:
		r.absent(d, window, fmt.Sprintf("%s needs the length of its slices", method), "write timeSliceWindow: 1m")
	case method == slo.MethodTimeslices && node(d, target) == nil:
		r.absent(d, target, "Timeslices needs the share of good events that makes a slice good", "write timeSliceTarget: 0.95")
	case method == slo.MethodRatioTimeslices && node(d, target) != nil:
		r.add(d.KeyProblem(target, "timeSliceTarget belongs to the budgetingMethod Timeslices: with RatioTimeslices a slice counts as much as its share of good events", "leave it out"))
	}
	if len(r.problems) > before {
		return nil
	}
	return &s
}

// sliceLength reads timeSliceWindow: a duration, or a number, which are minutes.
func (r *run) sliceLength(d *mesh.Document, path string, n *mesh.Node) slo.Duration {
	if n.Kind == mesh.NodeString {
		v, _ := r.duration(d, path, n.Text, "for example 1m")
		return v
	}
	v, err := strconv.ParseUint(n.Text, 10, 16)
	if err != nil || n.Kind != mesh.NodeNumber || v == 0 {
		r.add(d.Problem(path, fmt.Sprintf("%s is no length of a slice of time", n.Text), "write for example 1m; a number stands for whole minutes"))
		return 0
	}
	return slo.Duration(bus.Time(v) * bus.Minute)
}

// sliceTarget reads timeSliceTarget, a share above 0 and at most 1.
func (r *run) sliceTarget(d *mesh.Document, path string, n *mesh.Node) slo.Decimal {
	v, err := slo.ParseDecimal(json.Number(n.Text).String())
	if n.Kind != mesh.NodeNumber || err != nil || v.Rat().Sign() <= 0 || v.Float() > 1 {
		r.add(d.Problem(path, fmt.Sprintf("%s must be a share above 0 and at most 1", path), "write for example 0.95"))
	}
	return v
}

// noData reads the annotation that says what time without data means.
func (r *run) noData(d *mesh.Document, m *metadata, method string) string {
	v, ok := m.Annotations[AnnotationOnNoData]
	if !ok {
		return ""
	}
	path := annotationPath(AnnotationOnNoData)
	known := []string{slo.NoDataHold, slo.NoDataExclude, slo.NoDataGood, slo.NoDataBad}
	switch {
	case !slices.Contains(known, v):
		hint := "write Hold, Exclude, Good or Bad"
		if n := mesh.Nearest(v, known); n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		}
		r.add(d.Problem(path, fmt.Sprintf("unknown value %q", v), hint))
	case method == slo.MethodOccurrences && (v == slo.NoDataGood || v == slo.NoDataBad):
		r.add(d.Problem(path, fmt.Sprintf("%s needs slices of time: Occurrences counts events, and without data there are none", v), "use Hold or Exclude, or budgetingMethod: Timeslices"))
	}
	return v
}

// threshold gives a gauge the comparison of one objective, and tells of op and value where there is nothing to compare.
func (r *run) threshold(d *mesh.Document, path string, o *objective, g *slo.Gauge) *slo.Gauge {
	op, value := node(d, path+".op"), node(d, path+".value")
	if g == nil || g.Raw != "" {
		if value != nil {
			r.add(d.KeyProblem(path+".value", "value belongs to thresholdMetric", "leave it out"))
		}
		// The specification's own examples have op: gt beside a ratio, where it says what a target means anyway.
		if op != nil && op.Text != slo.OpGreater && op.Text != slo.OpGreaterEqual {
			r.add(d.Problem(path+".op", fmt.Sprintf("op %s belongs to thresholdMetric", op.Text), "leave it out: the share of good events must be at least the target"))
		}
		return g
	}
	out := *g
	known := []string{slo.OpLess, slo.OpLessEqual, slo.OpGreater, slo.OpGreaterEqual}
	switch {
	case op == nil:
		r.absent(d, path+".op", "thresholdMetric needs an op", "write op: lt, lte, gt or gte; a sample is good when it is so than value")
	case op.Kind == mesh.NodeString && !slices.Contains(known, o.Op):
		r.add(d.Problem(path+".op", fmt.Sprintf("unknown op %q", o.Op), "it is lt, lte, gt or gte"))
	}
	out.Op = o.Op
	if value == nil {
		r.absent(d, path+".value", "thresholdMetric needs a value", "write value: 0.3, or whatever a sample is compared with")
		return &out
	}
	v, err := slo.ParseDecimal(value.Text)
	if value.Kind != mesh.NodeNumber || err != nil {
		r.add(d.Problem(path+".value", fmt.Sprintf("%s must be a number", path+".value"), "write it without quotes"))
	}
	out.Value = v
	return &out
}
