// Package native compiles Evenkeel's own kind of definition, SLO of evenkeel.dev/v1beta1, into objectives. docs/kinds-slo.md describes
// it for its users.
//
// It says in few words what most service levels are: the share of requests that a known source of telemetry counts as answered without
// an error, or fast enough. A source ([Sources]) is expanded to selectors over the metrics that it really exports; PromQL (good or bad,
// and total) is there for the rest.
//
// It is strict: what is not understood is a problem with its place and never ignored. Where a choice was to be made:
//
//   - errors are 5xx and 429: the caller did nothing wrong and was not served. Other 4xx are the caller's mistakes and no errors, unless
//     the definition lists them. Of gRPC's codes those are errors that google.rpc.Code maps to one of these: Unknown, DeadlineExceeded,
//     Unimplemented, Internal, Unavailable, DataLoss (5xx) and ResourceExhausted (429). Canceled (499) is no error;
//   - a latency SLI counts what lies in the histogram's bucket with the threshold as its bound, exactly. Nothing is interpolated, so a
//     threshold must be a bound; where a source has the same ones everywhere, another threshold is refused;
//   - the metrics of a source are told apart by labels that follow from the target and the namespace. The namespace is asked for only
//     where metadata.namespace is written, and match replaces a label that a source asks for or adds one;
//   - without alerts an SLO has the page and ticket alerts of the SRE workbook; alerts.burnRate.tiers: [] has none;
//   - a service has one Actionable SLO at most;
//   - a composite names its members by service and name, whatever kind of definition they come from. One that does not exist is a member
//     without data; a composite, or an SLO that counts slices of time, cannot be one.
package native

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// APIVersion and KindSLO are what the documents say.
const (
	APIVersion = "evenkeel.dev/v1beta1"
	KindSLO    = "SLO"
)

// kindTarget is what notifyRefs refer to, of OpenSLO's kinds.
var kindTarget = mesh.Kind{APIVersion: "openslo/v1", Kind: "AlertNotificationTarget"}

// Config is what a [Compiler] needs; all of it must be set.
type Config struct {
	// Compile returns what a query counts. An error may have the methods Position() (line, column int), Reason() string and
	// Hint() string, with a place in the query.
	Compile func(query string) (slo.Expr, error)
	// Form returns the scale that a query's values have. Queries of one ratio must agree.
	Form func(query string) string
	// Zone returns the rules of a time zone, the same ones whenever it is asked. An error may have Reason and Hint as above.
	Zone func(name string) (slo.Zone, error)
}

// A Compiler compiles SLO documents. It has no state; use it from any goroutine.
type Compiler struct{ cfg Config }

// New returns a Compiler.
func New(c Config) (*Compiler, error) {
	if c.Compile == nil || c.Form == nil || c.Zone == nil {
		return nil, fmt.Errorf("native: Config.Compile, Config.Form and Config.Zone must be set")
	}
	return &Compiler{cfg: c}, nil
}

// Kinds lists what it takes.
func (*Compiler) Kinds() []mesh.Kind { return []mesh.Kind{{APIVersion: APIVersion, Kind: KindSLO}} }

// Form returns a pointer to what a document is decoded into: its fields are all that there are.
func (*Compiler) Form(mesh.Kind) any { return new(document) }

// Compile checks docs and returns their definitions in the order of docs. The Compiled of each is a list of one [slo.Objective].
func (c *Compiler) Compile(docs []mesh.Document, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	r := &run{cfg: c.cfg, claims: mesh.HeldClaims(docs, existing), targets: map[mesh.Ref]*mesh.Definition{}}
	fresh := map[mesh.Ref]bool{}
	for i := range docs {
		fresh[docs[i].Ref()] = true
	}
	for i := range existing {
		d := &existing[i]
		if d.APIVersion == kindTarget.APIVersion && d.Kind == kindTarget.Kind {
			r.targets[d.Ref] = d
		}
	}
	var out []mesh.Definition
	for i := range docs {
		out = append(out, r.definition(&docs[i]))
	}
	r.checkMembers(docs, out, existing, fresh)
	return out, mesh.SortProblems(r.problems)
}

// A run is one call of Compile.
type run struct {
	cfg      Config
	claims   map[string]mesh.Ref
	targets  map[mesh.Ref]*mesh.Definition // notification targets of the catalogue
	problems []mesh.Problem
}

func (r *run) add(ps ...mesh.Problem) { r.problems = append(r.problems, ps...) }

// definition compiles one document.
func (r *run) definition(d *mesh.Document) mesh.Definition {
	def := mesh.Definition{Ref: d.Ref(), Digest: mesh.Digest(d.JSON), Source: d.Source, Spec: d.JSON}
	o, ok := r.objective(d, &def)
	if !ok {
		return def
	}
	if err := o.Validate(); err != nil {
		r.add(d.Problem("spec", err.Error(), ""))
		return def
	}
	r.claim(d, &def, "metadata.name", "slo/"+o.GlobalNamespace+"/"+o.Service+"/"+o.Name,
		fmt.Sprintf("the objective %q of service %q in global namespace %q", o.Name, o.Service, o.GlobalNamespace), "rename one of them")
	if o.Type == slo.TypeActionable {
		r.claim(d, &def, "spec.type", "actionable/"+o.GlobalNamespace+"/"+o.Service,
			fmt.Sprintf("the one Actionable SLO of service %q in global namespace %q", o.Service, o.GlobalNamespace), "write type: Monitored in one of them")
	}
	b, err := json.Marshal([]slo.Objective{o})
	if err != nil {
		panic(err) // structs of strings and numbers always encode
	}
	def.Compiled = b
	slices.SortFunc(def.References, mesh.Ref.Compare)
	def.References = slices.Compact(def.References)
	slices.Sort(def.Claims)
	return def
}

// claim holds a name for a document; two objects with the same are a problem.
func (r *run) claim(d *mesh.Document, def *mesh.Definition, path, name, what, hint string) {
	if holder, ok := r.claims[name]; ok && holder != d.Ref() {
		r.add(d.Problem(path, fmt.Sprintf("%s is defined by %s already", what, holder), hint))
		return
	}
	r.claims[name] = d.Ref()
	def.Claims = append(def.Claims, name)
}

// absent tells that something is missing, unless a misspelled name of it stands there, which is told already.
func (r *run) absent(d *mesh.Document, path, message, hint string) {
	if !d.Misspelled(path, r.problems) {
		r.add(d.Problem(path, message, hint))
	}
}

// oneOf tells that a value is none of those that there are.
func (r *run) oneOf(d *mesh.Document, path, value string, known []string) {
	r.add(d.UnknownValue(path, value, known))
}

func shorten(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:37], "") + "..."
	}
	return s
}

// node returns the value at a path, or nil; null is nothing.
func node(d *mesh.Document, path string) *mesh.Node { return d.Value(path) }

// kindAt reports whether a value of this kind stands at a path; another kind has been told by Decode.
func kindAt(d *mesh.Document, path string, kind mesh.NodeKind) bool { return d.Holds(path, kind) }
