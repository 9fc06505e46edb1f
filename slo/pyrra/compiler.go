// Package pyrra compiles files of Pyrra (https://github.com/pyrra-dev/pyrra), the kind ServiceLevelObjective of pyrra.dev/v1alpha1, into
// definitions, as they are.
//
//   - indicator.ratio counts errors and total, indicator.latency good and total; its bucket is exact, since it is a bound. The metrics are
//     selectors of counters, as Pyrra takes them. indicator.latencyNative counts what a native histogram says of its threshold, and of
//     indicator.bool_gauge each sample is an event, good at 1 and bad at 0;
//   - grouping makes one more SLO for each value of its labels, at most 1000, and these alert, as in Pyrra;
//   - target is a percentage and is kept exactly;
//   - the alerts are Pyrra's: four, with the factors 14, 7, 2 and 1 over windows in proportion to the objective's, rounded to whole
//     minutes. Critical ones page, warnings are tickets. Their "for" is left out: a burn over the short window is what it would wait for.
//     [Tiers] says where they have to differ;
//   - the alert on absent metrics comes after Pyrra's time and pages ([AbsentAfter]). Of an objective that groups, the SLO over all groups
//     has it, since Pyrra looks for any series at all;
//   - the service is the label pyrra.dev/service, or else service, or else the name. It must be a DNS label;
//   - annotations pyrra.dev/… of metadata go with each alert, as in Pyrra; runbook_url, where it is a URL, becomes the link that each
//     notification has. The description goes with each alert too.
//
// What has no meaning here is read and does nothing: alert names, partial_response_strategy and performanceOverAccuracy, which are about
// the rules that Pyrra makes. Convert tells of each.
package pyrra

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// What the documents say.
const (
	APIVersion = "pyrra.dev/v1alpha1"
	Kind       = "ServiceLevelObjective"
)

const (
	// prefix begins the labels and annotations that Pyrra hands on to its alerts.
	prefix = "pyrra.dev/"
	// annotationPrefix begins the names of annotations and labels that have a meaning to Evenkeel.
	annotationPrefix = "evenkeel.dev/"
)

// AnnotationGlobalNamespace is the annotation or label that names the boundary an object belongs to.
const AnnotationGlobalNamespace = annotationPrefix + "global-namespace"

// Config is what a [Compiler] needs.
type Config struct {
	// Compile returns what a query counts. An error may have the methods Position() (line, column int), Reason() string and
	// Hint() string, with a place in the query.
	Compile func(query string) (slo.Expr, error)
	// Form returns the scale that a query's values have, "counter" for a counter as it stands.
	Form func(query string) string
	// Select returns the series whose samples are looked at; without mean a selector alone is taken. Errors are as those of Compile.
	Select func(query string, mean bool) (slo.Gauge, error)
}

// A Compiler compiles files of Pyrra. It has no state; use it from any goroutine.
type Compiler struct{ cfg Config }

// New returns a Compiler. All functions of c must be set.
func New(c Config) (*Compiler, error) {
	if c.Compile == nil || c.Form == nil || c.Select == nil {
		return nil, fmt.Errorf("pyrra: Config.Compile, Config.Form and Config.Select must be set")
	}
	return &Compiler{cfg: c}, nil
}

// Kinds lists the one kind.
func (*Compiler) Kinds() []mesh.Kind { return []mesh.Kind{{APIVersion: APIVersion, Kind: Kind}} }

// Compile checks docs and returns their definitions, in order. Nothing refers to anything, so no definition of existing changes. The
// Compiled of each is a list of one [slo.Objective].
func (c *Compiler) Compile(docs []mesh.Document, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	claims := mesh.HeldClaims(docs, existing)
	var out []mesh.Definition
	var problems []mesh.Problem
	for i := range docs {
		r := &reading{cfg: c.cfg, d: &docs[i]}
		def := r.definition()
		for _, name := range def.Claims {
			if holder, ok := claims[name]; ok && holder != def.Ref {
				r.wrong("metadata.name", "rename one of them, or give them different services", "%s is defined by %s already", strings.TrimPrefix(name, "slo/"), holder)
			}
			claims[name] = def.Ref
		}
		out, problems = append(out, def), append(problems, r.problems...)
	}
	return out, mesh.SortProblems(problems)
}

// A reading is the work on one document.
type reading struct {
	cfg      Config
	d        *mesh.Document
	file     file
	problems []mesh.Problem
	native   *nativeQueries // of a native histogram
}

// wrong tells what is wrong with the value at a path.
func (r *reading) wrong(path, hint, format string, args ...any) {
	r.problems = append(r.problems, r.d.Problem(path, fmt.Sprintf(format, args...), hint))
}

// absent tells that something is missing, unless a misspelled name of it stands there, which is told already.
func (r *reading) absent(path, hint, format string, args ...any) {
	if !r.d.Misspelled(path, r.problems) {
		r.wrong(path, hint, format, args...)
	}
}

// refuse tells that a field may not be there.
func (r *reading) refuse(path, hint, format string, args ...any) {
	r.problems = append(r.problems, r.d.KeyProblem(path, fmt.Sprintf(format, args...), hint))
}

// definition compiles the document.
func (r *reading) definition() mesh.Definition {
	def := mesh.Definition{Ref: r.d.Ref(), Digest: mesh.Digest(r.d.JSON), Source: r.d.Source, Spec: r.d.JSON}
	o := r.objective()
	def.GlobalNamespace, def.Labels = o.GlobalNamespace, r.file.Metadata.Labels
	if len(r.problems) > 0 {
		return def
	}
	b, err := json.Marshal([]slo.Objective{o})
	if err != nil {
		panic(err) // structs of strings and numbers always encode
	}
	def.Compiled = b
	def.Claims = []string{"slo/" + o.GlobalNamespace + "/" + o.Service + "/" + o.Name}
	return def
}

// objective compiles what the document says.
func (r *reading) objective() slo.Objective {
	r.problems = append(r.problems, r.d.Decode("", &r.file)...)
	m, s := &r.file.Metadata, &r.file.Spec
	o := slo.Objective{GlobalNamespace: r.globalNamespace(), Name: r.d.Name, Method: slo.MethodOccurrences, Definition: r.d.Ref()}
	if node(r.d, "spec") == nil {
		r.absent("spec", "", "spec is missing")
		return o
	}
	o.Service = r.service(m)
	o.Target = r.target()
	o.Window = slo.Window{Type: slo.WindowRolling, Duration: r.window()}
	o.SLI = r.indicator(&s.Indicator)
	if name, err := o.Annotate(m.Annotations); err != nil {
		r.wrong(mesh.JoinPath("metadata.annotations", name), "", "%s", err)
	}
	r.group(&o)
	if len(r.problems) > 0 {
		return o
	}
	o.Alerting = r.alerting(&o)
	if err := o.Validate(); err != nil {
		r.wrong("spec", "", "%s", err)
	}
	return o
}

// service says which service the objective is of.
func (r *reading) service(m *metadata) string {
	for _, label := range []string{prefix + "service", "service"} {
		name, ok := m.Labels[label]
		if !ok || name == "" {
			continue
		}
		if hint := mesh.LabelHint(name); hint != "" {
			r.wrong(mesh.JoinPath("metadata.labels", label), hint, "the service %q is not a DNS label", name)
		}
		return name
	}
	return r.d.Name
}

func (r *reading) target() slo.Decimal {
	const path = "spec.target"
	text := r.file.Spec.Target
	switch n := node(r.d, path); {
	case n == nil:
		r.absent(path, `write target: "99.9"`, "%s is missing", path)
		return slo.Decimal{}
	case n.Kind != mesh.NodeString:
		return slo.Decimal{} // told by Decode
	}
	d, err := share(text)
	switch {
	case err != nil:
		r.wrong(path, `it is a percentage, for example "99.9"`, "%s", err)
	case d.Rat().Cmp(big.NewRat(1, 100)) < 0:
		r.wrong(path, "it is a percentage, as in Pyrra: write for example \"99.9\" and not \"0.999\"", "a target of %s %% is hardly meant", text)
	}
	return d
}

// share turns a percentage into a share without losing a digit.
func share(percent string) (slo.Decimal, error) {
	v, err := slo.ParseDecimal(percent)
	if err != nil {
		return slo.Decimal{}, fmt.Errorf("%q is no decimal number of at most 30 digits", percent)
	}
	if v.Rat().Sign() <= 0 || v.Rat().Cmp(big.NewRat(100, 1)) >= 0 {
		return slo.Decimal{}, fmt.Errorf("the target must be above 0 and below 100, found %s; 100 %% leaves no budget at all", percent)
	}
	return v.Hundredth()
}

func (r *reading) window() slo.Duration {
	const path = "spec.window"
	switch n := node(r.d, path); {
	case n == nil:
		r.absent(path, "write for example window: 4w", "%s is missing", path)
		return 0
	case n.Kind != mesh.NodeString:
		return 0
	}
	w, err := slo.ParseDuration(r.file.Spec.Window)
	if err != nil {
		hint := ""
		if strings.HasSuffix(r.file.Spec.Window, "y") {
			hint = "a year of Prometheus is 365d"
		}
		r.wrong(path, hint, "%s", err)
	}
	return w
}

// alerting compiles the alerts.
func (r *reading) alerting(o *slo.Objective) slo.Alerting {
	a := slo.Alerting{Annotations: map[string]string{}}
	if text := r.file.Spec.Description; text != "" {
		a.Annotations["description"] = text
	}
	for _, name := range slices.Sorted(maps.Keys(r.file.Metadata.Annotations)) {
		text := r.file.Metadata.Annotations[name]
		key, ok := strings.CutPrefix(name, prefix)
		switch {
		case !ok || key == "":
		case (key == "runbook_url" || key == "runbook") && a.Runbook == "" && isURL(text):
			a.Runbook = text
		default:
			a.Annotations[key] = text
		}
	}
	if len(a.Annotations) == 0 {
		a.Annotations = nil
	}
	if r.file.Spec.Alerting.absents() {
		after, _ := AbsentAfter(o.Target, o.Window.Duration)
		a.Extra = []slo.Tier{{Name: "absent", Severity: slo.SeverityPage, Absent: after, RollUp: len(o.GroupBy) > 0}}
	}
	if !r.file.Spec.Alerting.burns() {
		a.Disabled = true
		return a
	}
	tiers, _, err := Tiers(o.Target, o.Window.Duration)
	if err != nil {
		r.wrong("spec.window", "use a longer window, or alerting: {burnrates: false}", "%s", err)
	}
	a.Tiers, a.Disabled = tiers, len(tiers) == 0
	return a
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// globalNamespace reads the boundary from an annotation, else from a label.
func (r *reading) globalNamespace() string {
	m := &r.file.Metadata
	known := []string{AnnotationGlobalNamespace, slo.AnnotationPercentiles, slo.AnnotationInterpolate}
	for _, place := range []struct {
		path  string
		texts map[string]string
	}{{"metadata.annotations", m.Annotations}, {"metadata.labels", m.Labels}} {
		for name := range place.texts { // problems are sorted afterwards
			if strings.HasPrefix(name, annotationPrefix) && !slices.Contains(known, name) {
				r.refuse(mesh.JoinPath(place.path, name), "known: "+strings.Join(known, ", "), "unknown annotation %q of kind %s", name, Kind)
			}
		}
		name, ok := place.texts[AnnotationGlobalNamespace]
		if !ok {
			continue
		}
		if hint := mesh.LabelHint(name); hint != "" {
			r.wrong(mesh.JoinPath(place.path, AnnotationGlobalNamespace), hint, "the global namespace %q is not a DNS label", name)
			return "default"
		}
		return name
	}
	return "default"
}

// node returns the value at a path, or nil; null is nothing.
func node(d *mesh.Document, path string) *mesh.Node {
	if n := d.Node(path); n != nil && n.Kind != mesh.NodeNull {
		return n
	}
	return nil
}
