package traffic

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
)

// A Routing is a TrafficPolicy, compiled.
type Routing struct {
	Name            string `json:"name"`
	GlobalNamespace string `json:"globalNamespace"`
	Mode            string `json:"mode"` // Observe, Approve or Automatic
	Service         string `json:"service"`
	Rules           []Rule `json:"http"`
}

// A Rule sends what matches to versions. The first that matches counts; without matches it takes all, and is the last.
type Rule struct {
	Name  string   `json:"name"`
	Match []Match  `json:"match,omitempty"` // one of these
	To    []Target `json:"to"`
}

// A Match holds when all of its parts do.
type Match struct {
	Headers []Header `json:"headers,omitempty"`
	Path    *Text    `json:"path,omitempty"`
	Methods []string `json:"methods,omitempty"`
}

// Ways of comparing.
const (
	Exact   = "Exact"
	Prefix  = "Prefix"
	Regex   = "Regex"   // RE2, of the whole text
	Present = "Present" // of headers: it is there
)

// A Text is compared with a text.
type Text struct {
	Type  string `json:"type"`
	Value string `json:"value,omitempty"`
}

// A Header is a condition on a header; the name is in lower case.
type Header struct {
	Name string `json:"name"`
	Text
}

// A Target is a version and its share in percent. A share of zero is kept: it names where calls may go next.
type Target struct {
	Version string `json:"version"`
	Weight  int    `json:"weight"`
}

// Versions returns all versions that are named, sorted.
func (r *Routing) Versions() []string {
	var out []string
	for i := range r.Rules {
		for _, t := range r.Rules[i].To {
			out = append(out, t.Version)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Bounds of a policy.
const (
	maxRules   = 32
	maxMatches = 16
	maxHeaders = 16
	maxTargets = 16
	maxValue   = 1024
)

type routingObject struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Metadata   mesh.Metadata `json:"metadata"`
	Spec       routingSpec   `json:"spec"`
}

type routingSpec struct {
	GlobalNamespace string `json:"globalNamespace"`
	TargetRef       struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"targetRef"`
	Mode        string `json:"mode"`
	Description string `json:"description"`
	HTTP        []rule `json:"http"`
}

type rule struct {
	Name  string   `json:"name"`
	Match []match  `json:"match"`
	To    []target `json:"to"`
}

type match struct {
	Headers []header `json:"headers"`
	Path    *text    `json:"path"`
	Methods []string `json:"methods"`
}

type header struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

type text struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type target struct {
	Version string `json:"version"`
	Weight  *int   `json:"weight"`
}

func (r *run) routing() mesh.Definition {
	var o routingObject
	r.Problems = append(r.Problems, r.Decode("", &o)...)
	s := &o.Spec
	out := Routing{Name: r.Name, GlobalNamespace: r.globalNamespace(s.GlobalNamespace), Service: s.TargetRef.Name}
	def, ok := r.begin(o.Metadata, out.GlobalNamespace, "it has targetRef and http")
	if !ok {
		return def
	}
	out.Mode = r.mode(s.Mode)
	if n := len([]rune(s.Description)); n > maxValue {
		r.Wrong("spec.description", fmt.Sprintf("the description has %d characters; at most %d are taken", n, maxValue), "")
	}
	if r.Value("spec.targetRef") == nil {
		r.Missing("spec.targetRef", "write for example targetRef: {kind: Service, name: catalog}")
	} else if r.Holds("spec.targetRef", mesh.NodeMap) {
		r.Choice("spec.targetRef.kind", s.TargetRef.Kind, "Service", "Service")
		if r.text("spec.targetRef.name", "name the service") {
			r.Label("spec.targetRef.name", "the service", out.Service)
		}
	}
	out.Rules = r.rules(s.HTTP)
	return r.finish(def, "route/"+out.GlobalNamespace+"/"+out.Service, "spec.targetRef", fmt.Sprintf("the routing of service %s of global namespace %s", out.Service, out.GlobalNamespace), out)
}

func (r *run) rules(rs []rule) []Rule {
	const path = "spec.http"
	if len(rs) == 0 && (r.Value(path) == nil || r.Holds(path, mesh.NodeList)) {
		r.Missing(path, "write for example http: [{name: all, to: [{version: v1, weight: 100}]}]")
	}
	if !r.Bound(path, len(rs), maxRules) {
		return nil
	}
	var out []Rule
	names := map[string]bool{}
	for i := range rs {
		at := fmt.Sprintf("%s[%d]", path, i)
		if r.text(at+".name", "name the rule") {
			r.Label(at+".name", "the rule", rs[i].Name)
			if names[rs[i].Name] {
				r.Wrong(at+".name", fmt.Sprintf("the rule %q stands twice", rs[i].Name), "rename one")
			}
			names[rs[i].Name] = true
		}
		if r.Value(at+".match") == nil && i < len(rs)-1 && !r.Misspelled(at+".match") {
			r.Wrong(at, "it takes all calls, and the rules after it are never reached", "put it last, or write match")
		}
		out = append(out, Rule{Name: rs[i].Name, Match: r.matches(at+".match", rs[i].Match), To: r.targets(at+".to", rs[i].To)})
	}
	return out
}

func (r *run) matches(path string, ms []match) []Match {
	if r.Holds(path, mesh.NodeList) && len(ms) == 0 {
		r.Wrong(path, "match is empty", "leave it out for all calls, or write for example match: [{headers: [{name: end-user, type: Exact, value: eric}]}]")
	}
	if !r.Bound(path, len(ms), maxMatches) {
		return nil
	}
	var out []Match
	for i := range ms {
		at, m := fmt.Sprintf("%s[%d]", path, i), Match{}
		if len(ms[i].Headers)+len(ms[i].Methods) == 0 && ms[i].Path == nil && r.Clean() {
			r.Wrong(at, "it says nothing, and would match all calls", "write headers, path or methods")
		}
		if r.Bound(at+".headers", len(ms[i].Headers), maxHeaders) {
			m.Headers = r.headers(at+".headers", ms[i].Headers)
		}
		if p := ms[i].Path; p != nil && r.Holds(at+".path", mesh.NodeMap) {
			m.Path = &Text{r.Choice(at+".path.type", p.Type, "", Exact, Prefix, Regex), p.Value}
			if r.compared(at+".path.value", m.Path); m.Path.Type != Regex && p.Value != "" && p.Value[0] != '/' {
				r.Wrong(at+".path.value", fmt.Sprintf("no path begins with %q", p.Value[:1]), `paths begin with "/"`)
			}
		}
		m.Methods = r.methods(at+".methods", ms[i].Methods)
		out = append(out, m)
	}
	return out
}

// token is the form of the name of a header or method (RFC 9110, section 5.6.2).
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")

func (r *run) headers(path string, hs []header) []Header {
	var out []Header
	names := map[string]bool{}
	for i, h := range hs {
		at := fmt.Sprintf("%s[%d]", path, i)
		x := Header{strings.ToLower(h.Name), Text{r.Choice(at+".type", h.Type, Exact, Exact, Prefix, Regex, Present), h.Value}}
		switch {
		case !r.text(at+".name", "name the header"):
		case !token.MatchString(h.Name):
			r.Wrong(at+".name", fmt.Sprintf("%q is no name of a header", h.Name), "")
		case names[x.Name]:
			r.Wrong(at+".name", fmt.Sprintf("the header %s stands twice in one match", x.Name), "join them with type: Regex, or write two matches")
		}
		names[x.Name] = true
		if x.Type == Present {
			if h.Value != "" {
				r.Wrong(at+".value", "Present takes no value", "leave it out, or write type: Exact")
			}
		} else {
			r.compared(at+".value", &x.Text)
		}
		out = append(out, x)
	}
	return out
}

// compared checks what is compared with.
func (r *run) compared(path string, t *Text) {
	if !r.text(path, "write what to compare with") {
		return
	}
	if len(t.Value) > maxValue {
		r.Wrong(path, fmt.Sprintf("the value has %d bytes; at most %d are taken", len(t.Value), maxValue), "")
		return
	}
	if t.Type == Regex {
		if _, err := regexp.Compile(t.Value); err != nil {
			r.Wrong(path, err.Error(), "the syntax is RE2's; the whole text must match")
		}
	}
}

func (r *run) methods(path string, ms []string) []string {
	if !r.Bound(path, len(ms), maxHeaders) {
		return nil
	}
	for i, m := range ms {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case !r.Holds(at, mesh.NodeString):
		case !token.MatchString(m) || strings.ToUpper(m) != m:
			r.Wrong(at, fmt.Sprintf("%q is no method", m), "write them in capitals, for example GET")
		case slices.Index(ms, m) < i:
			r.Wrong(at, fmt.Sprintf("%s stands twice", m), "")
		}
	}
	return ms
}

func (r *run) targets(path string, ts []target) []Target {
	if len(ts) == 0 && (r.Value(path) == nil || r.Holds(path, mesh.NodeList)) {
		r.Missing(path, "write for example to: [{version: v1, weight: 90}, {version: v2, weight: 10}]")
		return nil
	}
	if !r.Bound(path, len(ts), maxTargets) {
		return nil
	}
	var out []Target
	sum, whole := 0, true
	versions := map[string]bool{}
	for i, t := range ts {
		at := fmt.Sprintf("%s[%d]", path, i)
		if r.text(at+".version", "name the version") {
			if hint := versionHint(t.Version); hint != "" {
				r.Wrong(at+".version", fmt.Sprintf("%q is no version", t.Version), hint)
			}
			if versions[t.Version] {
				r.Wrong(at+".version", fmt.Sprintf("the version %s stands twice", t.Version), "join their weights")
			}
			versions[t.Version] = true
		}
		if t.Weight == nil {
			whole = false
			if r.Value(at+".weight") == nil {
				r.Missing(at+".weight", "write its share in percent; 0 keeps the version in sight")
			}
			continue
		}
		if *t.Weight < 0 || *t.Weight > 100 {
			whole = false
			r.Wrong(at+".weight", fmt.Sprintf("a share of %d is none", *t.Weight), "write from 0 to 100")
		}
		sum += *t.Weight
		out = append(out, Target{t.Version, *t.Weight})
	}
	if whole && sum != 100 {
		r.Wrong(path, fmt.Sprintf("the weights add up to %d", sum), "they add up to 100")
	}
	return out
}

// versionHint says what is wrong with a version, or "". It is the value of a label.
func versionHint(v string) string {
	ok := len(v) <= 63
	for i := range len(v) {
		c := v[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (alnum || i > 0 && i < len(v)-1 && (c == '-' || c == '_' || c == '.'))
	}
	if ok {
		return ""
	}
	return `it is the value of a label: at most 63 letters, digits, "-", "_" and ".", with a letter or digit at both ends`
}
