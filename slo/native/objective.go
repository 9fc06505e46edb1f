package native

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

const (
	defaultNamespace = "default" // the global namespace where none is named
	defaultZone      = "UTC"
	descriptionMax   = 1050 // characters, as OpenSLO has it
)

const defaultWindow = slo.Duration(30 * bus.Day)

// objective compiles a document. The objective is whole only where ok; the problems are noted.
func (r *run) objective(d *mesh.Document, def *mesh.Definition) (o slo.Objective, ok bool) {
	before := len(r.problems)
	var doc document
	r.add(d.Decode("", &doc)...)
	if node(d, "spec") == nil {
		r.absent(d, "spec", "spec is missing", "")
		return o, false
	}
	s := &doc.Spec
	o = slo.Objective{Name: d.Name, Definition: def.Ref}
	o.GlobalNamespace = r.globalNamespace(d, s)
	def.GlobalNamespace, def.Labels = o.GlobalNamespace, doc.Metadata.Labels
	o.Service = r.service(d, s)
	o.Type = r.objectiveType(d, s)
	o.Target = r.target(d, s)
	o.Window = r.window(d, s)
	if s.Composite != nil {
		o = r.composite(d, s, o)
	} else {
		o.Method, o.Slice = r.budgeting(d, s)
		o.SLI = r.sli(d, s, o.Service)
		if s.SLI != nil {
			o.Percentiles = s.SLI.Percentiles
			r.percentile(d, s.SLI.Latency, &o)
		}
		r.groups(d, s.GroupBy, &o)
		r.splits(d, &o)
	}
	o.OnNoData = r.noData(d, s, o.Method)
	o.Alerting = r.alerting(d, s, &o, def)
	return o, len(r.problems) == before
}

func (r *run) globalNamespace(d *mesh.Document, s *spec) string {
	const path = "spec.globalNamespace"
	if !kindAt(d, path, mesh.NodeString) {
		return defaultNamespace
	}
	if hint := mesh.LabelHint(s.GlobalNamespace); hint != "" {
		r.add(d.Problem(path, fmt.Sprintf("the global namespace %q is not a DNS label", shorten(s.GlobalNamespace)), hint))
		return defaultNamespace
	}
	return s.GlobalNamespace
}

// service returns the name of the target.
func (r *run) service(d *mesh.Document, s *spec) string {
	if n := utf8.RuneCountInString(s.Description); n > descriptionMax {
		r.add(d.Problem("spec.description", fmt.Sprintf("the description has %d characters; at most %d are taken", n, descriptionMax), ""))
	}
	const path = "spec.targetRef"
	if s.TargetRef == nil {
		if node(d, path) == nil {
			r.absent(d, path, path+" is missing", "write targetRef: {kind: Service, name: NAME}")
		}
		return ""
	}
	switch kind := s.TargetRef.Kind; {
	case node(d, path+".kind") == nil:
		r.absent(d, path+".kind", path+".kind is missing", "write kind: Service")
	case kind != "Service" && kindAt(d, path+".kind", mesh.NodeString):
		r.add(d.Problem(path+".kind", fmt.Sprintf("the target's kind %q is not supported", shorten(kind)), "write kind: Service"))
	}
	name := s.TargetRef.Name
	switch hint := mesh.LabelHint(name); {
	case node(d, path+".name") == nil:
		r.absent(d, path+".name", path+".name is missing", "name the service that the objective is about")
	case hint != "" && kindAt(d, path+".name", mesh.NodeString):
		r.add(d.Problem(path+".name", fmt.Sprintf("the service %q is not a DNS label", shorten(name)), hint))
	}
	return name
}

func (r *run) objectiveType(d *mesh.Document, s *spec) string {
	switch {
	case !kindAt(d, "spec.type", mesh.NodeString), s.Type == slo.TypeMonitored:
	case s.Type == slo.TypeActionable:
		return slo.TypeActionable
	default:
		r.oneOf(d, "spec.type", s.Type, []string{slo.TypeMonitored, slo.TypeActionable})
	}
	return "" // which means monitored
}

func (r *run) target(d *mesh.Document, s *spec) slo.Decimal {
	const path = "spec.objective"
	if s.Objective == nil {
		r.absent(d, path, path+" is missing", "write for example objective: 99.9%")
		return slo.Decimal{}
	}
	v, ok := r.percent(d, path, s.Objective, "99.9%")
	if ok && v.Rat().Cmp(big.NewRat(1, 1)) >= 0 {
		r.add(d.Problem(path, fmt.Sprintf("an objective of %s leaves no budget at all", s.Objective.Text), "write less, for example 99.9%"))
	}
	return v
}

var (
	percentForm = regexp.MustCompile(`^(\d{1,3}(?:\.\d{1,26})?)%$`)
	numberForm  = regexp.MustCompile(`^\d{1,3}(?:\.\d{1,26})?$`)
)

// percent reads a percentage above 0 and at most 100 exactly, as a share.
func (r *run) percent(d *mesh.Document, path string, n *mesh.Node, example string) (slo.Decimal, bool) {
	m := percentForm.FindStringSubmatch(n.Text)
	if n.Kind != mesh.NodeString || m == nil {
		r.add(d.Problem(path, fmt.Sprintf("%s must be a percentage, found %s", path, found(n)), percentHint(n, example)))
		return slo.Decimal{}, false
	}
	v, err := slo.ParseDecimal(m[1])
	if err != nil || v.Rat().Sign() <= 0 || v.Rat().Cmp(big.NewRat(100, 1)) > 0 {
		r.add(d.Problem(path, fmt.Sprintf("%s must be above 0%% and at most 100%%, found %s", path, n.Text), "write for example "+example))
		return slo.Decimal{}, false
	}
	share, err := v.Hundredth()
	if err != nil {
		r.add(d.Problem(path, err.Error(), "at most 28 after the point"))
	}
	return share, err == nil
}

func found(n *mesh.Node) string {
	switch n.Kind {
	case mesh.NodeString:
		return fmt.Sprintf("the string %q", shorten(n.Text))
	case mesh.NodeNumber, mesh.NodeBool:
		return n.Kind.String() + " (" + shorten(n.Text) + ")"
	}
	return n.Kind.String()
}

// percentHint says what a number most likely means: 0.999 is a share, 99.9 a percentage without its sign.
func percentHint(n *mesh.Node, example string) string {
	text := strings.TrimSuffix(strings.ReplaceAll(n.Text, " ", ""), "%")
	v, ok := new(big.Rat).SetString(text)
	switch {
	case n.Kind != mesh.NodeString && n.Kind != mesh.NodeNumber, !numberForm.MatchString(text), !ok, v.Sign() <= 0, v.Cmp(big.NewRat(100, 1)) > 0:
		return "write for example " + example
	case v.Cmp(big.NewRat(1, 1)) < 0 && !strings.Contains(n.Text, "%"):
		v.Mul(v, big.NewRat(100, 1))
		digits, _ := v.FloatPrec()
		return "write " + v.FloatString(digits) + "%"
	}
	return "write " + text + "%"
}

// A unit of calendar windows, its usual length, and the beginning of one of them. Weeks begin on Monday (ISO 8601).
type unit struct {
	name  string
	usual slo.Duration
	start string
}

func units() []unit {
	return []unit{
		{slo.UnitDay, slo.Duration(bus.Day), "2020-01-01 00:00:00"},
		{slo.UnitWeek, slo.Duration(7 * bus.Day), "2020-01-06 00:00:00"},
		{slo.UnitMonth, slo.Duration(30 * bus.Day), "2020-01-01 00:00:00"},
		{slo.UnitQuarter, slo.Duration(91 * bus.Day), "2020-01-01 00:00:00"},
		{slo.UnitYear, slo.Duration(365 * bus.Day), "2020-01-01 00:00:00"},
	}
}

func (r *run) window(d *mesh.Document, s *spec) slo.Window {
	const path = "spec.window"
	out := slo.Window{Type: slo.WindowRolling, Duration: defaultWindow}
	w := s.Window
	if w == nil || !kindAt(d, path, mesh.NodeMap) {
		return out
	}
	rolling, calendar := node(d, path+".rolling") != nil, node(d, path+".calendar") != nil
	switch {
	case rolling && calendar:
		r.add(d.KeyProblem(path+".calendar", "rolling and calendar exclude each other", "keep one of them"))
	case calendar:
		r.calendar(d, w, &out)
	case rolling:
		if v, ok := r.duration(d, path+".rolling", w.Rolling, "30d"); ok {
			out.Duration = v
		}
		if node(d, path+".timeZone") != nil {
			r.add(d.KeyProblem(path+".timeZone", "timeZone belongs to calendar windows; a rolling one is the same in every zone", "leave it out"))
		}
	default:
		r.absent(d, path+".rolling", "the window is neither rolling nor calendar", "write window: {rolling: 30d} or {calendar: Month, timeZone: Europe/Berlin}")
	}
	return out
}

func (r *run) calendar(d *mesh.Document, w *window, out *slo.Window) {
	const path = "spec.window"
	var names []string
	at := slices.IndexFunc(units(), func(u unit) bool { return u.name == w.Calendar })
	if at < 0 {
		for _, u := range units() {
			names = append(names, u.name)
		}
		if kindAt(d, path+".calendar", mesh.NodeString) {
			r.oneOf(d, path+".calendar", w.Calendar, names)
		}
		return
	}
	name := defaultZone
	if kindAt(d, path+".timeZone", mesh.NodeString) {
		name = w.TimeZone
	}
	z, err := r.cfg.Zone(name)
	if err != nil {
		message, hint := mesh.Advice(err)
		r.add(d.Problem(path+".timeZone", message, hint))
	}
	u := units()[at]
	*out = slo.Window{Type: slo.WindowCalendar, Duration: u.usual, Calendar: &slo.Calendar{Unit: u.name, Count: 1, Start: u.start, Zone: z}}
}

func (r *run) duration(d *mesh.Document, path, text, example string) (slo.Duration, bool) {
	if !kindAt(d, path, mesh.NodeString) {
		return 0, false // told by Decode, or by who asks
	}
	v, err := slo.ParseDuration(text)
	if err != nil {
		hint := "write a whole number with one of the units ms, s, m, h, d, w; for example " + example
		if squeezed := strings.ReplaceAll(text, " ", ""); squeezed != text {
			if _, err := slo.ParseDuration(squeezed); err == nil {
				hint = "write " + squeezed
			}
		}
		r.add(d.Problem(path, fmt.Sprintf("%q is not a duration", shorten(text)), hint))
	}
	return v, err == nil
}

// Bounds of a slice.
const (
	sliceMin = slo.Duration(10 * bus.Second)
	sliceMax = slo.Duration(bus.Hour)
)

// budgeting returns the method and, of those that count time, the slice.
func (r *run) budgeting(d *mesh.Document, s *spec) (string, *slo.Slice) {
	const path = "spec.budgeting"
	b := s.Budgeting
	if b == nil {
		return slo.MethodOccurrences, nil
	}
	method := slo.MethodOccurrences
	if kindAt(d, path+".method", mesh.NodeString) {
		method = b.Method
	}
	switch method {
	case slo.MethodOccurrences:
		if node(d, path+".slice") != nil {
			r.add(d.KeyProblem(path+".slice", "a slice belongs to the methods Timeslices and RatioTimeslices; Occurrences counts events", "leave it out, or name the method"))
		}
		return method, nil
	case slo.MethodTimeslices, slo.MethodRatioTimeslices:
		named := method == slo.MethodTimeslices && node(d, percentilePath) != nil
		return method, r.slice(d, method, b.Slice, named)
	}
	r.oneOf(d, path+".method", method, []string{slo.MethodOccurrences, slo.MethodTimeslices, slo.MethodRatioTimeslices})
	return slo.MethodOccurrences, nil
}

// slice returns the slice of time of a method; named says that its target stands elsewhere.
func (r *run) slice(d *mesh.Document, method string, s *slice, named bool) *slo.Slice {
	const path = "spec.budgeting.slice"
	if s == nil {
		if node(d, path) == nil {
			hint := "write slice: {length: 1m, target: 95%}"
			if method == slo.MethodRatioTimeslices || named {
				hint = "write slice: {length: 1m}"
			}
			r.absent(d, path, fmt.Sprintf("the method %s needs a slice", method), hint)
		}
		return nil
	}
	out := &slo.Slice{}
	if node(d, path+".length") == nil {
		r.absent(d, path+".length", path+".length is missing", "write length: 1m")
	} else if v, ok := r.duration(d, path+".length", s.Length, "1m"); ok {
		if v < sliceMin || v > sliceMax || v%slo.Duration(bus.Second) != 0 {
			r.add(d.Problem(path+".length", fmt.Sprintf("a slice of %s is not possible", v), "write whole seconds from 10s to 1h"))
		}
		out.Length = v
	}
	switch {
	case method == slo.MethodRatioTimeslices:
		if s.Target != nil {
			r.add(d.KeyProblem(path+".target", "a slice's target belongs to the method Timeslices; RatioTimeslices takes the mean of the slices' shares", "leave it out"))
		}
	case s.Target == nil && named:
	case s.Target == nil:
		r.absent(d, path+".target", path+".target is missing", "the share of good events from which on a slice is good; write for example target: 95%")
	default:
		out.Target, _ = r.percent(d, path+".target", s.Target, "95%")
	}
	return out
}

// noData returns what a slice without data counts as. Hold, the default, is written as nothing.
func (r *run) noData(d *mesh.Document, s *spec, method string) string {
	const path = "spec.onNoData"
	known := []string{slo.NoDataHold, slo.NoDataGood, slo.NoDataBad, slo.NoDataExclude}
	switch {
	case !kindAt(d, path, mesh.NodeString):
		return ""
	case !slices.Contains(known, s.OnNoData):
		r.oneOf(d, path, s.OnNoData, known)
	case method == slo.MethodOccurrences && (s.OnNoData == slo.NoDataGood || s.OnNoData == slo.NoDataBad):
		r.add(d.Problem(path, fmt.Sprintf("onNoData %s has no meaning with the method Occurrences: no events are neither good nor bad", s.OnNoData),
			"write Hold or Exclude, or count time: budgeting: {method: Timeslices, slice: {length: 1m, target: 95%}}"))
	case s.OnNoData != slo.NoDataHold:
		return s.OnNoData
	}
	return ""
}
