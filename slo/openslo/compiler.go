// Package openslo compiles OpenSLO v1 files into definitions: SLO, SLI, Service, DataSource, AlertPolicy, AlertCondition and
// AlertNotificationTarget, as https://openslo.com describes them.
//
// It is strict: what is not understood is a problem with its place, and never ignored. What OpenSLO can say and Evenkeel cannot do
// yet is refused by name, with what works instead: alertWhenResolved: false, targets inside a policy, mail.
//
// Where the specification leaves a choice, this is Evenkeel's:
//
//   - an SLO without timeWindow has a rolling window of 30 days;
//   - a calendar window begins at startTime and at every duration of civil time before and after it. A day of the month that a month
//     does not have is its last. A timeSliceWindow without a unit is in minutes. Slices are aligned to the Unix epoch; one without an
//     event is good; one without data is what the annotation evenkeel.dev/on-no-data says, see slo.NoDataHold and its like;
//   - an SLO with several objectives becomes several of the same service, named "<slo>-<displayName as a DNS label>", or
//     "<slo>-<number from 1>" where displayName is missing or not unique. With one objective the name is the SLO's;
//   - objectives with an indicator of their own, two or more, make a composite: one SLO each, named as above, which alerts nobody, and
//     one named as the SLO, which joins their minutes (see slo.Composite). Weights are used by the weighted mean, which is the default;
//   - counter: true is needed for a query that names a counter as it stands, since nothing else says that it is one; with rate()
//     or increase() it may be left out. Good (or bad) and total must have the same form, or their quotient means nothing in
//     Prometheus either;
//   - metricSource.type must be Prometheus, there or in the DataSource that is referred to. Nothing is read from a data source:
//     telemetry is sent to Evenkeel. A metricSourceRef beside a type therefore need not exist;
//   - no alertPolicies: the page and ticket alerts of the SRE workbook. An empty list: no alerts. Otherwise each condition of each
//     policy is one alert, named as the condition, and fires while the burn rates over lookbackWindow and over a short window are
//     both above the threshold (op gt; gte is taken as the same). The short window is a twelfth of lookbackWindow, in whole
//     minutes and at least one, as the workbook advises; alertAfter, where given, takes its place: burning for that long is asked
//     as a mean and not by a timer, which the workbook shows to miss repeated short outages. Severity is page (or critical) or
//     ticket (or warning). alertWhenNoData: true is one more alert, "<policy>-no-data", when no samples have come for ten minutes;
//   - the annotations evenkeel.dev/… of [Annotations] carry what OpenSLO has no field for. The global namespace may be a label too;
//   - an empty list of notificationTargets: the targets that hear what names none.
//
// Documents of v1alpha (SLO and Service) are understood as the v1 documents that say the same; [Compiler.Convert] shows those.
package openslo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// APIVersion is what the documents say.
const APIVersion = "openslo/v1"

// Kinds of OpenSLO v1.
const (
	KindSLO       = "SLO"
	KindSLI       = "SLI"
	KindService   = "Service"
	KindSource    = "DataSource"
	KindPolicy    = "AlertPolicy"
	KindCondition = "AlertCondition"
	KindTarget    = "AlertNotificationTarget"
)

// Config is what a [Compiler] needs.
type Config struct {
	// Compile returns what a query counts. An error may have the methods Position() (line, column int), Reason() string and
	// Hint() string, with a place in the query.
	Compile func(query string) (slo.Expr, error)
	// Form returns the scale that a query's values have, "counter" for a counter as it stands. Queries of one ratio must agree.
	Form func(query string) string
	// Select returns the series of a query over values, and what of them is looked at. It accepts their average where mean is true. Its
	// error is as Compile's.
	Select func(query string, mean bool) (slo.Gauge, error)
	// Zone returns the rules of a time zone by its IANA name.
	Zone func(name string) (slo.Zone, error)
	// EnvPrefix is what the names of environment variables that hold secrets begin with; "" accepts any.
	EnvPrefix string
}

// A Compiler compiles OpenSLO documents. It has no state; use it from any goroutine.
type Compiler struct{ cfg Config }

// New returns a Compiler. Both functions of c must be set.
func New(c Config) (*Compiler, error) {
	if c.Compile == nil || c.Form == nil || c.Select == nil || c.Zone == nil {
		return nil, fmt.Errorf("openslo: all functions of Config must be set")
	}
	return &Compiler{cfg: c}, nil
}

// Kinds lists the kinds of OpenSLO v1 and v1alpha.
func (*Compiler) Kinds() []mesh.Kind {
	var ks []mesh.Kind
	for _, k := range []string{KindSLO, KindSLI, KindService, KindSource, KindPolicy, KindCondition, KindTarget} {
		ks = append(ks, mesh.Kind{APIVersion: APIVersion, Kind: k})
	}
	return append(ks, alphaKinds()...)
}

// Compile resolves references over docs and existing, checks docs, and returns their definitions in the order of docs, followed by
// SLOs of existing whose objectives change by them. The Compiled of an SLO is a list of [slo.Objective], that of an
// AlertNotificationTarget a notify.Target.
func (c *Compiler) Compile(docs []mesh.Document, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	r := &run{cfg: c.cfg, objects: map[mesh.Ref]*entry{}, claims: map[string]mesh.Ref{}}
	for i := range existing {
		if existing[i].APIVersion == APIVersion {
			r.objects[existing[i].Ref] = &entry{stored: &existing[i]}
		}
	}
	var fresh []*entry
	for i := range docs {
		e := &entry{doc: &docs[i], fresh: true}
		if old := r.objects[docs[i].Ref()]; old != nil && old.fresh {
			r.add(docs[i].Problem("metadata.name", docs[i].Ref().String()+" is defined twice", ""))
			continue
		}
		r.objects[docs[i].Ref()] = e
		fresh = append(fresh, e)
	}
	dependents := r.dependents(existing)
	r.hold(existing, dependents)
	var out []mesh.Definition
	for _, e := range fresh {
		out = append(out, r.definition(e))
	}
	for _, e := range dependents {
		d := r.definition(e)
		if string(d.Compiled) != string(e.stored.Compiled) || !slices.Equal(d.References, e.stored.References) || !slices.Equal(d.Claims, e.stored.Claims) {
			out = append(out, d)
		}
	}
	return out, mesh.SortProblems(append(r.problems, r.warnings...))
}

// A run is one call of Compile.
type run struct {
	cfg      Config
	objects  map[mesh.Ref]*entry
	claims   map[string]mesh.Ref
	problems []mesh.Problem
	warnings []mesh.Problem // what is right and will not do what it seems to
	measure  measure        // of the indicator at hand
	stored   bool           // it is that of an SLI object
}

// An entry is one object, of the documents (fresh) or of the catalogue, whose document is made when it is needed.
type entry struct {
	doc    *mesh.Document
	stored *mesh.Definition
	fresh  bool

	sli    *sliResult
	policy *policyResult
}

func (r *run) add(ps ...mesh.Problem) { r.problems = append(r.problems, ps...) }

func (r *run) warn(p mesh.Problem) {
	p.Warning = true
	r.warnings = append(r.warnings, p)
}

// document returns the entry's document; places in one of the catalogue mean nothing to the reader and are taken away.
func (r *run) document(e *entry) *mesh.Document {
	if e.doc == nil {
		name := e.stored.Ref.String() + " (in the catalogue)"
		root, err := mesh.ReadJSON(e.stored.Spec)
		if err != nil {
			r.add(mesh.Problem{File: name, Message: "it cannot be read: " + err.Error()})
			root = &mesh.Node{Kind: mesh.NodeMap}
		}
		forget(root)
		d, ps := mesh.NewDocument(name, e.stored.Source, root)
		r.add(ps...)
		e.doc = &d
	}
	return e.doc
}

func forget(n *mesh.Node) {
	n.Line, n.Column, n.TextLine = 0, 0, 0
	for i := range n.Fields {
		n.Fields[i].Line, n.Fields[i].Column = 0, 0
		forget(n.Fields[i].Value)
	}
	for _, v := range n.Items {
		forget(v)
	}
}

// dependents returns the SLOs of the catalogue that refer, through others too, to something in the documents; sorted.
func (r *run) dependents(existing []mesh.Definition) []*entry {
	var out []*entry
	for i := range existing {
		d := &existing[i]
		if e := r.objects[d.Ref]; d.Kind == KindSLO && e != nil && e.stored == d && r.touched(d, 0) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *entry) int { return a.stored.Ref.Compare(b.stored.Ref) })
	return out
}

// touched reports whether d leans on something fresh. OpenSLO's references go three deep: SLO, policy, condition.
func (r *run) touched(d *mesh.Definition, depth int) bool {
	for _, ref := range d.References {
		e := r.objects[ref]
		if e != nil && (e.fresh || depth < 3 && r.touched(e.stored, depth+1)) {
			return true
		}
	}
	return false
}

// hold takes the claims of all definitions that stay as they are.
func (r *run) hold(existing []mesh.Definition, dependents []*entry) {
	again := map[*entry]bool{}
	for _, e := range dependents {
		again[e] = true
	}
	for i := range existing {
		d := &existing[i]
		if e := r.objects[d.Ref]; e != nil && (e.fresh || again[e]) {
			continue
		}
		for _, name := range d.Claims {
			r.claims[name] = d.Ref
		}
	}
}

// claim holds a name for a document; two objects with the same are a problem.
func (r *run) claim(d *mesh.Document, def *mesh.Definition, path, name, what string) {
	if holder, ok := r.claims[name]; ok && holder != d.Ref() {
		r.add(d.Problem(path, fmt.Sprintf("%s is defined by %s already", what, holder), "rename one of them"))
		return
	}
	r.claims[name] = d.Ref()
	if !slices.Contains(def.Claims, name) {
		def.Claims = append(def.Claims, name)
	}
}

// definition compiles one object.
func (r *run) definition(e *entry) mesh.Definition {
	d := r.document(e)
	def := mesh.Definition{Ref: d.Ref(), Digest: mesh.Digest(d.JSON), Source: d.Source, Spec: d.JSON}
	if e.stored != nil {
		def.Source, def.Spec, def.Digest = e.stored.Source, e.stored.Spec, e.stored.Digest
	}
	if d.APIVersion == APIVersionAlpha {
		r.compileAlpha(d, &def)
		return def
	}
	switch d.Kind {
	case KindSLO:
		r.compileSLO(d, &def)
	case KindSLI:
		r.compileSLI(e, &def)
	case KindService:
		var o object[serviceSpec]
		r.decode(d, &o, &o.Metadata, &def)
		r.description(d, o.Spec.Description)
	case KindSource:
		r.compileSource(d, &def)
	case KindPolicy:
		r.compilePolicy(e, &def)
	case KindCondition:
		var o object[conditionSpec]
		r.decode(d, &o, &o.Metadata, &def)
		r.condition(d, "spec", o.Metadata.Name, &o.Spec)
	case KindTarget:
		r.compileTarget(d, &def)
	}
	slices.SortFunc(def.References, mesh.Ref.Compare)
	def.References = slices.Compact(def.References)
	slices.Sort(def.Claims)
	return def
}

// decode fills an object strictly and takes over what all kinds have in common.
func (r *run) decode(d *mesh.Document, into any, m *metadata, def *mesh.Definition) {
	r.add(d.Decode("", into)...)
	if n := node(d, "spec"); n == nil {
		r.absent(d, "spec", "spec is missing", "")
	}
	def.GlobalNamespace = r.globalNamespace(d, m)
	def.Labels = r.labels(d, m)
	r.annotations(d, m)
}

// encode sets the compiled form.
func encode(def *mesh.Definition, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of strings and numbers always encode
	}
	def.Compiled = b
}

// lookup finds what a name refers to. A name that nothing has is a problem with the nearest name there is.
func (r *run) lookup(d *mesh.Document, path, kind, name string) *entry {
	e := r.objects[mesh.Ref{APIVersion: APIVersion, Kind: kind, Namespace: d.Namespace, Name: name}]
	if e != nil {
		return e
	}
	var names []string
	for ref := range r.objects {
		if ref.Kind == kind && ref.Namespace == d.Namespace {
			names = append(names, ref.Name)
		}
	}
	slices.Sort(names)
	hint := fmt.Sprintf("define it with kind: %s", kind)
	if n := mesh.Nearest(name, names); n != "" {
		hint = fmt.Sprintf("did you mean %q?", n)
	} else if len(names) > 0 && len(names) <= 8 {
		hint = "there are: " + strings.Join(names, ", ")
	}
	r.add(d.Problem(path, fmt.Sprintf("there is no %s named %q", kind, name), hint))
	return nil
}

func refer(def *mesh.Definition, e *entry, d *mesh.Document) {
	if e.stored != nil {
		def.References = append(def.References, e.stored.Ref)
		return
	}
	def.References = append(def.References, d.Ref())
}

// absent tells that something is missing, unless a misspelled name of it stands there, which is told already.
func (r *run) absent(d *mesh.Document, path, message, hint string) {
	if !d.Misspelled(path, r.problems) {
		r.add(d.Problem(path, message, hint))
	}
}

// node returns the value at a path, or nil; null is nothing.
func node(d *mesh.Document, path string) *mesh.Node {
	if n := d.Node(path); n != nil && n.Kind != mesh.NodeNull {
		return n
	}
	return nil
}
