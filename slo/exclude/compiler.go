// Package exclude compiles definitions of kind Exclusion: time that does not count for service levels, planned or afterwards.
//
//	apiVersion: evenkeel.dev/v1beta1
//	kind: Exclusion
//	metadata: {name: sunday-maintenance}
//	spec:
//	  globalNamespace: shop
//	  services: [checkout, cart]          # or ["*"]; slos: [...] beside it or instead
//	  once:
//	    - {from: 2026-11-25T02:00:00Z, until: 2026-11-25T03:30:00Z}
//	  recurring:
//	    start: 2026-01-04 02:00:00        # civil time of the first
//	    duration: 2h
//	    timeZone: Europe/Berlin
//	    rrule: FREQ=WEEKLY;BYDAY=SU       # RFC 5545
//	    until: 2026-12-31 23:59:59        # civil time after which none begins; may be left out
//	  reason: SHOP-17, the data base is being moved
//
// Names are not looked up: an exclusion may come before the SLO that it is for. Where both services and slos are named, it is for those
// SLOs of those services. It compiles to an [slo.Exclusion], whose rule is evaluated by the stage, with the rules of the zone written out.
package exclude

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// Config is what a [Compiler] needs.
type Config struct {
	// Zone returns the rules of a time zone by its IANA name. An error may have the methods Reason() and Hint() string.
	Zone func(name string) (slo.Zone, error)
}

// A Compiler compiles exclusions. It has no state; use it from any goroutine.
type Compiler struct{ cfg Config }

// New returns a Compiler. The function of c must be set.
func New(c Config) (*Compiler, error) {
	if c.Zone == nil {
		return nil, fmt.Errorf("exclude: the function Zone of Config must be set")
	}
	return &Compiler{cfg: c}, nil
}

// Kinds returns the one kind.
func (*Compiler) Kinds() []mesh.Kind {
	return []mesh.Kind{{APIVersion: slo.ExclusionVersion, Kind: slo.KindExclusion}}
}

// Form returns a pointer to what a document is decoded into: its fields are all that there are.
func (*Compiler) Form(mesh.Kind) any { return new(object) }

// Compile checks docs and returns their definitions. The Compiled of each is an [slo.Exclusion].
func (c *Compiler) Compile(docs []mesh.Document, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	var out []mesh.Definition
	var problems []mesh.Problem
	held := map[mesh.Ref]string{} // global namespaces of all that will stand
	for i := range existing {
		if d := &existing[i]; d.APIVersion == slo.ExclusionVersion && d.Kind == slo.KindExclusion {
			held[d.Ref] = d.GlobalNamespace
		}
	}
	for i := range docs {
		d := &docs[i]
		r := run{cfg: c.cfg, d: d}
		def := r.definition()
		held[d.Ref()] = def.GlobalNamespace
		if n := count(held, def.GlobalNamespace); n > slo.MaxExclusions {
			r.wrong("metadata.name", fmt.Sprintf("the global namespace %s would have %d exclusions; at most %d", def.GlobalNamespace, n, slo.MaxExclusions), "delete those that are over, or join several as spans of one")
		}
		out, problems = append(out, def), append(problems, r.problems...)
	}
	return out, mesh.SortProblems(problems)
}

func count(held map[mesh.Ref]string, gns string) int {
	n := 0
	for _, g := range held {
		if g == gns {
			n++
		}
	}
	return n
}

// An object is a document of the kind.
type object struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Metadata   mesh.Metadata `json:"metadata"`
	Spec       spec          `json:"spec"`
}

type spec struct {
	GlobalNamespace string     `json:"globalNamespace"`
	Services        []string   `json:"services"`
	SLOs            []string   `json:"slos"`
	Once            []span     `json:"once"`
	Recurring       *recurring `json:"recurring"`
	Reason          string     `json:"reason"`
}

type span struct {
	From  string `json:"from"`
	Until string `json:"until"`
}

type recurring struct {
	Start    string `json:"start"`
	Duration string `json:"duration"`
	TimeZone string `json:"timeZone"`
	RRule    string `json:"rrule"`
	Until    string `json:"until"`
}

// A run compiles one document.
type run struct {
	cfg      Config
	d        *mesh.Document
	problems []mesh.Problem
}

func (r *run) wrong(path, message, hint string) {
	r.problems = append(r.problems, r.d.Problem(path, message, hint))
}

// has reports whether something stands at a path.
func (r *run) has(path string) bool {
	n := r.d.Node(path)
	return n != nil && n.Kind != mesh.NodeNull
}

// text reports whether a string stands at a path. That nothing stands there it tells, unless the name is misspelled, which is told
// already; that it is no string is told already.
func (r *run) text(path, hint string) bool {
	if !r.has(path) {
		name := path[strings.LastIndexByte(path, '.')+1:]
		for _, p := range r.problems {
			if strings.Contains(p.Hint, fmt.Sprintf("did you mean %q", name)) {
				return false
			}
		}
		r.wrong(path, path+" is missing", hint)
		return false
	}
	return r.d.Node(path).Kind == mesh.NodeString
}

func (r *run) definition() mesh.Definition {
	var o object
	r.problems = append(r.problems, r.d.Decode("", &o)...)
	x := slo.Exclusion{GlobalNamespace: r.globalNamespace(&o.Spec), Services: o.Spec.Services, SLOs: o.Spec.SLOs, Reason: strings.TrimSpace(o.Spec.Reason), Definition: r.d.Ref()}
	def := mesh.Definition{Ref: r.d.Ref(), GlobalNamespace: x.GlobalNamespace, Labels: o.Metadata.Labels, Digest: mesh.Digest(r.d.JSON), Source: r.d.Source, Spec: r.d.JSON}
	if !r.has("spec") {
		r.wrong("spec", "spec is missing", "")
		return def
	}
	r.names("spec.services", o.Spec.Services)
	r.names("spec.slos", o.Spec.SLOs)
	if len(o.Spec.Services)+len(o.Spec.SLOs) == 0 && len(r.problems) == 0 {
		r.wrong("spec", "it is said for no SLO", `write services: [checkout], slos: [availability], or services: ["*"] for all of the global namespace`)
	}
	for i := range o.Spec.Once {
		x.Once = append(x.Once, r.span(fmt.Sprintf("spec.once[%d]", i), &o.Spec.Once[i]))
	}
	if n := len(o.Spec.Once); n > slo.MaxOnce {
		r.wrong("spec.once", fmt.Sprintf("%d spans are too many; at most %d", n, slo.MaxOnce), "delete those that are over, or write an rrule")
	}
	if o.Spec.Recurring != nil {
		x.Recurring = r.recurring(o.Spec.Recurring)
	}
	if len(o.Spec.Once) == 0 && o.Spec.Recurring == nil && len(r.problems) == 0 {
		r.wrong("spec", "it has no time", "write once: [{from: 2026-11-25T02:00:00Z, until: 2026-11-25T03:00:00Z}], or recurring")
	}
	if r.text("spec.reason", "say why this time does not count; it is shown beside every number that it touches") && x.Reason == "" {
		r.wrong("spec.reason", "the reason is empty", "say why this time does not count")
	}
	if len(r.problems) > 0 {
		return def
	}
	if err := x.Validate(); err != nil { // what is looked at above is more, but for sizes
		r.wrong("spec", err.Error(), "")
		return def
	}
	b, err := json.Marshal(x)
	if err != nil {
		panic(err) // structs of strings and numbers always encode
	}
	def.Compiled = b
	return def
}

func (r *run) globalNamespace(s *spec) string {
	const path = "spec.globalNamespace"
	if !r.has(path) || r.d.Node(path).Kind != mesh.NodeString {
		return "default"
	}
	if hint := mesh.LabelHint(s.GlobalNamespace); hint != "" {
		r.wrong(path, fmt.Sprintf("the global namespace %q is not a DNS label", s.GlobalNamespace), hint)
		return "default"
	}
	return s.GlobalNamespace
}

// names checks a list of names.
func (r *run) names(path string, names []string) {
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", path, i)
		if n := r.d.Node(at); n == nil || n.Kind != mesh.NodeString {
			continue
		}
		switch hint := mesh.LabelHint(name); {
		case name == "*" && len(names) > 1:
			r.wrong(at, `"*" names all already`, "leave the others out")
		case name != "*" && hint != "":
			r.wrong(at, fmt.Sprintf("%q is not a DNS label", name), hint+`; "*" alone names all`)
		case slices.Index(names, name) < i:
			r.wrong(at, fmt.Sprintf("%q stands twice", name), "")
		}
	}
}

func (r *run) span(path string, s *span) slo.Span {
	before := len(r.problems)
	out := slo.Span{From: r.moment(path+".from", s.From), Until: r.moment(path+".until", s.Until)}
	if len(r.problems) > before || s.From == "" || s.Until == "" {
		return out
	}
	if out.Until <= out.From {
		r.wrong(path+".until", fmt.Sprintf("until %s is not after from %s", s.Until, s.From), "")
	} else if err := out.Validate(); err != nil {
		r.wrong(path, err.Error(), "")
	}
	return out
}

// moment reads RFC 3339, in whole seconds.
func (r *run) moment(path, text string) int64 {
	const hint = "write for example 2026-11-25T02:00:00Z or 2026-11-25T03:00:00+01:00"
	if !r.text(path, hint) {
		return 0
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Nanosecond() != 0 {
		r.wrong(path, fmt.Sprintf("%q is no time in whole seconds as in RFC 3339", text), hint)
	}
	return t.Unix()
}

// civilForm is how the time of a clock in a zone is written.
const civilForm = "2006-01-02 15:04:05"

func (r *run) recurring(s *recurring) *slo.Recurrence {
	const path = "spec.recurring"
	before := len(r.problems)
	out := &slo.Recurrence{Start: s.Start, Until: s.Until, Rule: s.RRule}
	r.civil(path+".start", s.Start, "2026-01-04 02:00:00")
	if r.has(path + ".until") {
		r.civil(path+".until", s.Until, "2026-12-31 23:59:59")
	}
	if r.text(path+".duration", "write for example 2h") {
		d, err := slo.ParseDuration(s.Duration)
		if err != nil || d%slo.Duration(bus.Second) != 0 || d > slo.Duration(31*bus.Day) {
			r.wrong(path+".duration", fmt.Sprintf("%q is no duration in whole seconds of at most 31d", s.Duration), "write for example 90m or 2h")
		}
		out.Duration = d
	}
	if r.text(path+".timeZone", "write for example Europe/Berlin") {
		z, err := r.cfg.Zone(s.TimeZone)
		if err != nil {
			r.problems = append(r.problems, r.zoneProblem(path+".timeZone", err))
		}
		out.Zone = z
	}
	if !r.text(path+".rrule", "write for example FREQ=WEEKLY;BYDAY=SU") || len(r.problems) > before {
		return out
	}
	err := out.Validate()
	var rule *slo.RuleError
	switch {
	case errors.As(err, &rule):
		r.problems = append(r.problems, r.d.TextProblem(path+".rrule", 1, rule.Column, rule.Message, rule.Advice))
	case err != nil:
		r.wrong(path, err.Error(), "")
	}
	return out
}

func (r *run) civil(path, text, example string) {
	if !r.text(path, "write for example "+example) {
		return
	}
	if _, err := time.Parse(civilForm, text); err != nil {
		r.wrong(path, fmt.Sprintf("%q is no time of a clock", text), "write for example "+example+"; the zone is that of timeZone")
	}
}

// zoneProblem splits an error into what is wrong and what would be right, where it can.
func (r *run) zoneProblem(path string, err error) mesh.Problem {
	var told interface {
		Reason() string
		Hint() string
	}
	if errors.As(err, &told) {
		return r.d.Problem(path, told.Reason(), told.Hint())
	}
	return r.d.Problem(path, err.Error(), "")
}
