package main

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// A field is what a schema says of one field beyond its name and type, which come from the decoder.
type field struct {
	about    string
	kind     string   // of a value that the decoder takes as it is: string, number or int-or-string
	enum     []string // of strings
	pattern  string
	min, max float64 // of numbers; 0: none
	above    bool    // min itself is too little
	least    int     // characters of a string, items of a list
	most     int     // the same, or keys of a map
	set      bool    // items of the list differ
	required []string
	rules    []rule
}

// A rule is a condition in CEL, with what is said where it does not hold.
type rule struct{ cel, message string }

// A schema is built from a decoder's type and a table of fields.
type schema struct {
	fields map[string]field
	used   map[string]bool
	wrong  []string // paths without a description, and what contradicts the decoder
}

// Patterns of what is written in many places.
const (
	label      = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	duration   = `^([0-9]+(ms|s|m|h|d|w))+$`
	promised   = `^(0{0,2}[1-9]|0?[1-9][0-9])(\.[0-9]{1,26})?%$|^0{1,3}\.[0-9]{0,25}[1-9][0-9]{0,25}%$` // above 0% and below 100%
	share      = promised + `|^100(\.0{1,26})?%$`
	labelMax   = 63
	textMax    = 1050
	queryMax   = 65536
	defaultMax = 253 // of a string that says nothing else
)

// node returns the schema of what a type of the decoder holds.
func (s *schema) node(path string, t reflect.Type) *mesh.Node {
	f, ok := s.fields[path]
	s.used[path] = true
	if !ok || f.about == "" {
		s.wrong = append(s.wrong, path+" has no description")
	}
	for t.Kind() == reflect.Pointer && t != reflect.TypeFor[*mesh.Node]() {
		t = t.Elem()
	}
	out := []mesh.Field{mesh.Entry("description", mesh.Text(f.about))}
	switch {
	case t == reflect.TypeFor[*mesh.Node]():
		out = append(out, s.any(path, &f)...)
	case t.Kind() == reflect.String:
		out = append(out, text(&f)...)
	case t.Kind() == reflect.Bool:
		out = append(out, mesh.Entry("type", mesh.Text("boolean")))
	case t.Kind() == reflect.Int:
		out = append(out, append(numeric(&f), mesh.Entry("format", mesh.Text("int32")), mesh.Entry("type", mesh.Text("integer")))...)
	case t.Kind() == reflect.Slice:
		out = append(out, s.list(path, t, &f)...)
	case t.Kind() == reflect.Map:
		out = append(out, count("maxProperties", f.most), mesh.Entry("type", mesh.Text("object")), mesh.Entry("additionalProperties", s.node(path+".*", t.Elem())))
	case t.Kind() == reflect.Struct:
		out = append(out, s.object(path, t, &f)...)
	default:
		s.wrong = append(s.wrong, fmt.Sprintf("%s is a %s, of which no schema is known", path, t))
	}
	if rs := rules(f.rules); rs != nil {
		out = append(out, mesh.Entry("x-kubernetes-validations", rs))
	}
	slices.SortStableFunc(out, func(a, b mesh.Field) int { return strings.Compare(a.Key, b.Key) })
	return mesh.Map(out...)
}

// any is a value that the compiler reads by itself.
func (s *schema) any(path string, f *field) []mesh.Field {
	switch f.kind {
	case "string":
		return text(f)
	case "number":
		return append(numeric(f), mesh.Entry("type", mesh.Text("number")))
	case "int-or-string":
		return []mesh.Field{mesh.Entry("x-kubernetes-int-or-string", mesh.Bool(true)), count("maxLength", f.most)}
	}
	s.wrong = append(s.wrong, path+" may be anything for the decoder: say its kind")
	return nil
}

func text(f *field) []mesh.Field {
	out := []mesh.Field{mesh.Entry("type", mesh.Text("string"))}
	if len(f.enum) > 0 {
		return append(out, mesh.Entry("enum", texts(f.enum)))
	}
	most := f.most
	switch {
	case most == 0 && f.pattern == label:
		most = labelMax
	case most == 0:
		most = defaultMax
	}
	if f.pattern != "" {
		out = append(out, mesh.Entry("pattern", mesh.Text(f.pattern)))
	}
	return append(out, count("minLength", f.least), count("maxLength", most))
}

func numeric(f *field) []mesh.Field {
	var out []mesh.Field
	if f.min != 0 || f.above {
		out = append(out, mesh.Entry("minimum", mesh.Number(strconv.FormatFloat(f.min, 'f', -1, 64))))
	}
	if f.above {
		out = append(out, mesh.Entry("exclusiveMinimum", mesh.Bool(true)))
	}
	if f.max != 0 {
		out = append(out, mesh.Entry("maximum", mesh.Number(strconv.FormatFloat(f.max, 'f', -1, 64))))
	}
	return out
}

func (s *schema) list(path string, t reflect.Type, f *field) []mesh.Field {
	out := []mesh.Field{mesh.Entry("type", mesh.Text("array")), count("minItems", f.least), count("maxItems", f.most), mesh.Entry("items", s.node(path+"[]", t.Elem()))}
	if f.most == 0 {
		s.wrong = append(s.wrong, path+" is a list without a bound")
	}
	if f.set {
		return append(out, mesh.Entry("x-kubernetes-list-type", mesh.Text("set")))
	}
	return append(out, mesh.Entry("x-kubernetes-list-type", mesh.Text("atomic")))
}

func (s *schema) object(path string, t reflect.Type, f *field) []mesh.Field {
	out := []mesh.Field{mesh.Entry("type", mesh.Text("object"))}
	var properties []mesh.Field
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		at := path + "." + name
		if name == "" || name == "-" || strings.Count(at, ".rules") > member.MaxDepth {
			continue // a schema cannot refer to itself; rules nest no deeper than this
		}
		of := s.node(at, t.Field(i).Type)
		properties = append(properties, mesh.Entry(name, of))
	}
	slices.SortFunc(properties, func(a, b mesh.Field) int { return strings.Compare(a.Key, b.Key) })
	for _, name := range f.required {
		if !slices.ContainsFunc(properties, func(p mesh.Field) bool { return p.Key == name }) {
			s.wrong = append(s.wrong, fmt.Sprintf("%s requires %s, which the decoder does not know", path, name))
		}
	}
	if len(f.required) > 0 {
		out = append(out, mesh.Entry("required", texts(slices.Sorted(slices.Values(f.required)))))
	}
	return append(out, mesh.Entry("properties", mesh.Map(properties...)))
}

// count is a bound, where there is one.
func count(name string, n int) mesh.Field {
	if n == 0 {
		return mesh.Entry(name, nil)
	}
	return mesh.Entry(name, mesh.Number(strconv.Itoa(n)))
}

func texts(words []string) *mesh.Node {
	var out []*mesh.Node
	for _, w := range words {
		out = append(out, mesh.Text(w))
	}
	return mesh.List(out...)
}

func rules(rs []rule) *mesh.Node {
	if len(rs) == 0 {
		return nil
	}
	var out []*mesh.Node
	for _, r := range rs {
		out = append(out, mesh.Map(mesh.Entry("message", mesh.Text(r.message)), mesh.Entry("rule", mesh.Text(r.cel))))
	}
	return mesh.List(out...)
}
