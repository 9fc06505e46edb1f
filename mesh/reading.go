package mesh

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A Reading checks documents one after the other and collects what is wrong with them: the checks that compilers have in common. What a check finds is a
// problem with its place; what was told of a value already (a misspelled name, another type) is not told again.
type Reading struct {
	*Document                // that is read now
	Problems  []Problem      // of it and of those before it
	Claims    map[string]Ref // who holds each claim: those of [HeldClaims], and what is read

	from int // where the problems of the document begin
}

// Turn goes on to a document.
func (r *Reading) Turn(d *Document) { r.Document, r.from = d, len(r.Problems) }

// Wrong tells of a mistake.
func (r *Reading) Wrong(path, message, hint string) {
	r.Problems = append(r.Problems, r.Problem(path, message, hint))
}

// Warn tells of what may be meant so.
func (r *Reading) Warn(path, message, hint string) {
	p := r.Problem(path, message, hint)
	p.Warning = true
	r.Problems = append(r.Problems, p)
}

// Misspelled reports whether a wrong spelling of the field at path has been told of this document.
func (r *Reading) Misspelled(path string) bool {
	return r.Document.Misspelled(path, r.Problems[r.from:])
}

// Mistaken reports whether a mistake was told of this document.
func (r *Reading) Mistaken() bool {
	mistakes, _ := Mistakes(r.Problems[r.from:])
	return len(mistakes) > 0
}

// Clean reports whether nothing was told of this document, warnings included.
func (r *Reading) Clean() bool { return len(r.Problems) == r.from }

// Missing tells that nothing stands at a path, unless a misspelled name of it does.
func (r *Reading) Missing(path, hint string) {
	if !r.Misspelled(path) {
		r.Wrong(path, path+" is missing", hint)
	}
}

// Text reports whether a string stands at a path, which must be.
func (r *Reading) Text(path, hint string) bool {
	switch n := r.Value(path); {
	case n == nil:
		r.Missing(path, hint)
		return false
	case n.Kind != NodeString:
		return false
	case n.Text == "":
		r.Wrong(path, path+" is empty", hint)
		return false
	}
	return true
}

// Choice reads one of several words; def is what stands for nothing, and where it is "" something must be written.
func (r *Reading) Choice(path, value, def string, known ...string) string {
	switch {
	case def == "" && r.Value(path) == nil:
		r.Missing(path, "one of "+strings.Join(known, ", "))
	case !r.Holds(path, NodeString):
	case !slices.Contains(known, value):
		r.Problems = append(r.Problems, r.UnknownValue(path, value, known))
	default:
		return value
	}
	return def
}

// Label checks a name that must be a DNS label, where a string is written, and reports whether it is one.
func (r *Reading) Label(path, what, value string) bool {
	if !r.Holds(path, NodeString) {
		return false
	}
	hint := LabelHint(value)
	if hint != "" {
		r.Wrong(path, fmt.Sprintf("%s %q is not a DNS label", what, value), hint)
	}
	return hint == ""
}

// Bound tells of a list that is too long.
func (r *Reading) Bound(path string, n, most int) bool {
	if n > most {
		r.Wrong(path, fmt.Sprintf("%s has %d entries; at most %d are taken", path, n, most), "")
	}
	return n <= most
}

// Claim holds a name that only one definition may have.
func (r *Reading) Claim(def *Definition, path, name, what, hint string) {
	if holder, ok := r.Claims[name]; ok && holder != r.Ref() {
		r.Wrong(path, fmt.Sprintf("%s is that of %s already", what, holder), hint)
		return
	}
	r.Claims[name] = r.Ref()
	def.Claims = append(def.Claims, name)
}

// Begin returns the document's definition without what it compiles to.
func (r *Reading) Begin(globalNamespace string, labels map[string]string) Definition {
	d := r.Document
	return Definition{Ref: d.Ref(), GlobalNamespace: globalNamespace, Labels: labels, Digest: Digest(d.JSON), Source: d.Source, Spec: d.JSON}
}

// Finish returns the definition with its compiled form, which must be of strings and numbers, unless there were mistakes.
func (r *Reading) Finish(def Definition, compiled any) Definition {
	if r.Mistaken() {
		return def
	}
	b, err := json.Marshal(compiled)
	if err != nil {
		panic(err) // structs of strings and numbers always encode
	}
	def.Compiled = b
	slices.Sort(def.Claims)
	return def
}
