// Package sloth compiles files of Sloth (https://sloth.dev) into definitions, as they are: the plain ones that its command line reads
// (version: prometheus/v1) and the Kubernetes kind PrometheusServiceLevel of sloth.slok.dev/v1.
//
// Each SLO of a file becomes one objective of the file's service. A file may hold several SLOs, and a service several files.
//
//   - {{.window}} is filled in with 5m. Which range it is does not matter: each increment is counted once, when it happened;
//   - objective is a percentage and is kept exactly. The window is 30 days, Sloth's default; Sloth itself sets another one by a flag and
//     not in the file;
//   - the page and ticket alerts are those of the SRE workbook, which are Sloth's too. A disabled one is left out;
//   - annotations of alerting go with each alert; runbook or runbook_url, where it is a URL, becomes the link that each notification has;
//   - names that are no DNS labels are encoded by [Label], and can be read back with [Name];
//   - labels stay with the definition.
//
// What has no meaning here is read and does nothing: alert names, labels and annotations of one alert (an alert is named by service, SLO
// and tier; notification targets route by severity), infoLabels and interval, which are about the rules that Sloth makes. Convert tells
// of each. Plugins and raw error ratios are refused, with what to write instead.
package sloth

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// API versions of Sloth's files.
const (
	APIVersionPlain      = "prometheus/v1"
	APIVersionKubernetes = "sloth.slok.dev/v1"
)

const kind = mesh.KindPlain // of both

// window is Sloth's default.
const window = "30d"

// maxSLOs bounds the SLOs of one file.
const maxSLOs = 100

// annotationPrefix begins the names of annotations and labels that have a meaning to Evenkeel.
const annotationPrefix = "evenkeel.dev/"

// AnnotationGlobalNamespace is the annotation or label that names the boundary an object belongs to.
const AnnotationGlobalNamespace = annotationPrefix + "global-namespace"

// Config is what a [Compiler] needs.
type Config struct {
	// Compile returns what a query counts. An error may have the methods Position() (line, column int), Reason() string and
	// Hint() string, with a place in the query.
	Compile func(query string) (slo.Expr, error)
	// Form returns the scale that a query's values have, "counter" for a counter as it stands.
	Form func(query string) string
}

// A Compiler compiles files of Sloth. It has no state; use it from any goroutine.
type Compiler struct{ cfg Config }

// New returns a Compiler. Both functions of c must be set.
func New(c Config) (*Compiler, error) {
	if c.Compile == nil || c.Form == nil {
		return nil, fmt.Errorf("sloth: Config.Compile and Config.Form must be set")
	}
	return &Compiler{cfg: c}, nil
}

// Kinds lists both forms of a file.
func (*Compiler) Kinds() []mesh.Kind {
	return []mesh.Kind{{APIVersion: APIVersionPlain, Kind: kind}, {APIVersion: APIVersionKubernetes, Kind: kind}}
}

// Compile checks docs and returns their definitions, in order. Nothing refers to anything, so no definition of existing changes. The
// Compiled of each is a list of [slo.Objective].
func (c *Compiler) Compile(docs []mesh.Document, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	claims := mesh.HeldClaims(docs, existing)
	var out []mesh.Definition
	var problems []mesh.Problem
	for i := range docs {
		r := &reading{cfg: c.cfg, d: &docs[i], claims: claims}
		out = append(out, r.definition())
		problems = append(problems, r.problems...)
	}
	return out, mesh.SortProblems(problems)
}

// A reading is the work on one document.
type reading struct {
	cfg      Config
	d        *mesh.Document
	claims   map[string]mesh.Ref
	problems []mesh.Problem
}

func (r *reading) add(ps ...mesh.Problem) { r.problems = append(r.problems, ps...) }

// wrong tells what is wrong with the value at a path.
func (r *reading) wrong(path, hint, format string, args ...any) {
	r.add(r.d.Problem(path, fmt.Sprintf(format, args...), hint))
}

// absent tells that something is missing, unless a misspelled name of it stands there, which is told already.
func (r *reading) absent(path, hint, format string, args ...any) {
	if !r.d.Misspelled(path, r.problems) {
		r.wrong(path, hint, format, args...)
	}
}

// refuse tells that a field may not be there.
func (r *reading) refuse(path, hint, format string, args ...any) {
	r.add(r.d.KeyProblem(path, fmt.Sprintf(format, args...), hint))
}

// definition compiles the document.
func (r *reading) definition() mesh.Definition {
	def := mesh.Definition{Ref: r.d.Ref(), Digest: mesh.Digest(r.d.JSON), Source: r.d.Source, Spec: r.d.JSON}
	f := r.file()
	def.GlobalNamespace, def.Labels = f.globalNamespace, f.labels
	var os []slo.Objective
	for i := range f.levels {
		if o, ok := r.objective(f, &f.levels[i]); ok {
			r.claim(&def, &o, f.levels[i].path+".name")
			os = append(os, o)
		}
	}
	slices.Sort(def.Claims)
	if len(r.problems) > 0 {
		return def
	}
	b, err := json.Marshal(os)
	if err != nil {
		panic(err) // structs of strings and numbers always encode
	}
	def.Compiled = b
	return def
}

// claim holds an objective's name; another with the same is a problem.
func (r *reading) claim(def *mesh.Definition, o *slo.Objective, path string) {
	name := "slo/" + o.GlobalNamespace + "/" + o.Service + "/" + o.Name
	if holder, ok := r.claims[name]; ok {
		where := "by " + holder.String() + " already"
		if holder == def.Ref {
			where = "twice in this file"
		}
		r.wrong(path, "rename one of them", "the SLO %q of service %q in global namespace %q is defined %s", o.Name, o.Service, o.GlobalNamespace, where)
		return
	}
	r.claims[name] = def.Ref
	def.Claims = append(def.Claims, name)
}

// objective compiles one SLO.
func (r *reading) objective(f *file, l *level) (slo.Objective, bool) {
	before := len(r.problems)
	o := slo.Objective{GlobalNamespace: f.globalNamespace, Service: f.service, Method: slo.MethodOccurrences, Definition: r.d.Ref()}
	o.Window = slo.Window{Type: slo.WindowRolling}
	o.Window.Duration, _ = slo.ParseDuration(window)
	o.Name, o.DisplayName = r.name(l.path+".name", l.name, "the SLO")
	if l.plugins != nil {
		r.refuse(l.path+".plugins", "take them out; what an SLO plugin changes are Sloth's rules, and there are none here", "SLO plugins are not run")
	}
	o.Target = r.target(l)
	o.SLI = r.sli(l)
	if _, err := o.Annotate(joined(f.annotations, l.labels)); err != nil {
		r.wrong(l.path, "", "%s", err)
	}
	o.Alerting = r.alerting(l, &o)
	if len(r.problems) > before || f.service == "" || o.Target.Rat().Sign() == 0 || o.SLI.Bad == nil {
		return o, false // told
	}
	if err := o.Validate(); err != nil {
		r.wrong(l.path, "", "%s", err)
	}
	return o, len(r.problems) == before
}

// name returns the DNS label of a name, and the name itself where that is another.
func (r *reading) name(path, name, what string) (label, display string) {
	if n := r.d.Node(path); n == nil || n.Kind == mesh.NodeNull || n.Kind == mesh.NodeString && n.Text == "" {
		r.absent(path, "", "%s has no name", what)
		return "", ""
	}
	label = Label(name)
	if len(label) > labelMax {
		r.wrong(path, "shorten it; other signs than a-z, 0-9 and single dashes take four", "the name %q has %d characters as a DNS label; at most %d are allowed", name, len(label), labelMax)
		return "", ""
	}
	if label != name {
		display = name
	}
	return label, display
}

// alerting compiles the alerts of an SLO: none named means both.
func (r *reading) alerting(l *level, o *slo.Objective) slo.Alerting {
	a := slo.Alerting{Annotations: map[string]string{}}
	if l.description != "" {
		a.Annotations["description"] = l.description
	}
	for _, name := range slices.Sorted(maps.Keys(l.annotations)) {
		text := l.annotations[name]
		if (name == "runbook" || name == "runbook_url") && a.Runbook == "" && isURL(text) {
			a.Runbook = text
			continue
		}
		a.Annotations[name] = text
	}
	if len(a.Annotations) == 0 {
		a.Annotations = nil
	}
	off := map[string]bool{slo.SeverityPage: l.alerting.Page.Disable, slo.SeverityTicket: l.alerting.Ticket.Disable}
	if off[slo.SeverityPage] != off[slo.SeverityTicket] {
		tiers, _ := slo.DefaultTiers(o.Target, o.Window.Duration)
		a.Tiers = slices.DeleteFunc(tiers, func(t slo.Tier) bool { return off[t.Severity] })
	}
	a.Disabled = len(a.Tiers) == 0 && (off[slo.SeverityPage] || off[slo.SeverityTicket])
	return a
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// target reads the percentage exactly, as a share.
func (r *reading) target(l *level) slo.Decimal {
	path := l.path + ".objective"
	switch n := r.d.Node(path); {
	case n == nil || n.Kind == mesh.NodeNull:
		r.absent(path, "write objective: 99.9", "the SLO has no objective")
		return slo.Decimal{}
	case n.Kind != mesh.NodeNumber:
		return slo.Decimal{} // told by Decode
	}
	d, err := share(l.objective.String())
	if err != nil {
		r.wrong(path, "it is a percentage, for example 99.9", "%s", err)
	}
	return d
}

// texts returns the values of a map; what is no scalar is a problem.
func (r *reading) texts(path string, m map[string]*mesh.Node) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := map[string]string{}
	for name, n := range m { // problems are sorted afterwards
		at := mesh.JoinPath(path, name)
		switch {
		case n == nil || n.Kind == mesh.NodeNull:
			r.add(r.d.KeyProblem(at, fmt.Sprintf("%s has no value", at), `write "" for an empty one`))
		case n.Kind == mesh.NodeMap || n.Kind == mesh.NodeList:
			r.wrong(at, "", "%s must be a text, found %s", at, n.Kind)
		default:
			out[name] = n.Text // as Sloth does: tier: 2 is "2"
		}
	}
	return out
}

// boundary reads the global namespace from annotations or labels, in that order.
func (r *reading) boundary(places map[string]map[string]string) string {
	known := []string{AnnotationGlobalNamespace, slo.AnnotationPercentiles, slo.AnnotationInterpolate}
	for _, path := range slices.Sorted(maps.Keys(places)) {
		for name := range places[path] {
			if strings.HasPrefix(name, annotationPrefix) && !slices.Contains(known, name) {
				r.refuse(mesh.JoinPath(path, name), "known: "+strings.Join(known, ", "), "unknown annotation %q of kind %s", name, kind)
			}
		}
		name, ok := places[path][AnnotationGlobalNamespace]
		if !ok {
			continue
		}
		if hint := mesh.LabelHint(name); hint != "" {
			r.wrong(mesh.JoinPath(path, AnnotationGlobalNamespace), hint, "the global namespace %q is not a DNS label", name)
			return "default"
		}
		return name
	}
	return "default"
}
