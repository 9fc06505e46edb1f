package mesh

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Decode fills into, a pointer to a struct, with the value at path. It is strict: a field that the struct does not have is a problem
// with the nearest known name, and so is a value of another type; nothing is converted. Fields are named by their json tags. Their
// types may be string, bool, int, json.Number (which keeps its digits), *Node (anything, left as it is), slices, maps from string,
// structs and pointers to those. Null counts as not there. What can be filled is, so that further mistakes can be looked for.
func (d *Document) Decode(path string, into any) []Problem {
	n := d.Node(path)
	if n == nil {
		return []Problem{d.Problem(path, path+" is missing", "")}
	}
	c := decoder{d: d}
	c.value(n, path, reflect.ValueOf(into).Elem())
	return c.problems
}

type decoder struct {
	d        *Document
	problems []Problem
}

var (
	nodeType   = reflect.TypeFor[*Node]()
	numberType = reflect.TypeFor[json.Number]()
)

func (c *decoder) wrong(n *Node, path, want string) {
	found := n.Kind.String()
	switch n.Kind {
	case NodeNumber, NodeBool:
		found += " (" + shorten(n.Text) + ")"
	case NodeString:
		found = fmt.Sprintf("the string %q", shorten(n.Text))
	}
	c.problems = append(c.problems, c.d.Problem(path, fmt.Sprintf("%s must be %s, found %s", path, want, found), typeHint(n, want)))
}

// typeHint says how the value would have to be written.
func typeHint(n *Node, want string) string {
	switch {
	case want == "a string":
		return quoteHint(n)
	case want == "true or false" && n.Kind == NodeString:
		switch strings.ToLower(n.Text) {
		case "yes", "on", "y", "true":
			return "write true without quotes"
		case "no", "off", "n", "false":
			return "write false without quotes"
		}
	case (want == "a number" || want == "a whole number") && n.Kind == NodeString:
		if numeral(n.Text) {
			return "write " + n.Text + " without quotes"
		}
	case want == "a list" && n.Kind != NodeNull:
		return "begin each item with \"- \""
	}
	return ""
}

func quoteHint(n *Node) string {
	if n != nil && (n.Kind == NodeNumber || n.Kind == NodeBool) {
		return fmt.Sprintf("put it in quotes: %q", n.Text)
	}
	return ""
}

// numeral reports whether s is a number as JSON writes it.
func numeral(s string) bool {
	var n json.Number
	return s != "" && s[0] != '"' && s[0] != 'n' && json.Unmarshal([]byte(s), &n) == nil
}

func shorten(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:37], "") + "..."
	}
	return s
}

func (c *decoder) value(n *Node, path string, v reflect.Value) {
	switch {
	case n.Kind == NodeNull:
		return
	case v.Type() == nodeType:
		v.Set(reflect.ValueOf(n))
		return
	case v.Type() == numberType:
		if n.Kind != NodeNumber {
			c.wrong(n, path, "a number")
			return
		}
		v.SetString(n.Text)
		return
	case v.Kind() == reflect.Pointer:
		before := len(c.problems)
		v.Set(reflect.New(v.Type().Elem()))
		if c.value(n, path, v.Elem()); len(c.problems) > before && v.Elem().Kind() != reflect.Struct {
			v.SetZero()
		}
		return
	}
	c.plain(n, path, v)
}

func (c *decoder) plain(n *Node, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if n.Kind != NodeString {
			c.wrong(n, path, "a string")
			return
		}
		v.SetString(n.Text)
	case reflect.Bool:
		if n.Kind != NodeBool {
			c.wrong(n, path, "true or false")
			return
		}
		v.SetBool(n.Text == "true")
	case reflect.Int:
		i, err := strconv.Atoi(n.Text)
		if n.Kind != NodeNumber || err != nil {
			c.wrong(n, path, "a whole number")
			return
		}
		v.SetInt(int64(i))
	case reflect.Slice:
		c.list(n, path, v)
	case reflect.Map:
		c.keys(n, path, v)
	case reflect.Struct:
		c.fields(n, path, v)
	default:
		panic("mesh: Decode into " + v.Type().String()) // a mistake of the caller, not of the file
	}
}

func (c *decoder) list(n *Node, path string, v reflect.Value) {
	if n.Kind != NodeList {
		c.wrong(n, path, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items)))
	for i, item := range n.Items {
		if item.Kind == NodeNull {
			c.problems = append(c.problems, c.d.Problem(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("item %d of %s is empty", i+1, path), "leave it out"))
			continue
		}
		c.value(item, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
	}
}

func (c *decoder) keys(n *Node, path string, v reflect.Value) {
	if n.Kind != NodeMap {
		c.wrong(n, path, "a map")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Fields)))
	for _, f := range n.Fields {
		e, at := reflect.New(v.Type().Elem()).Elem(), JoinPath(path, f.Key)
		if k := f.Value.Kind; e.Kind() == reflect.String && e.Type() != numberType && k != NodeString {
			// Without the value: annotations are where people put secrets by mistake.
			c.problems = append(c.problems, c.d.Problem(at, fmt.Sprintf("%s must be a string, found %s", at, k), "put it in quotes"))
			continue
		}
		c.value(f.Value, at, e)
		v.SetMapIndex(reflect.ValueOf(f.Key), e)
	}
}

func (c *decoder) fields(n *Node, path string, v reflect.Value) {
	if n.Kind != NodeMap {
		c.wrong(n, path, "a map")
		return
	}
	index, names := structFields(v.Type())
	for _, f := range n.Fields {
		at := JoinPath(path, f.Key)
		i, ok := index[f.Key]
		if !ok {
			where := path
			if where == "" {
				where = "the document"
			}
			c.problems = append(c.problems, c.d.KeyProblem(at, fmt.Sprintf("unknown field %q in %s", shorten(f.Key), where), didYouMean(f.Key, names)))
			continue
		}
		c.value(f.Value, at, v.Field(i))
	}
}

// structFields returns the fields of a struct by their names in a document, and the names in the order of the struct.
func structFields(t reflect.Type) (map[string]int, []string) {
	index, names := map[string]int{}, []string(nil)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		index[name] = i
		names = append(names, name)
	}
	return index, names
}
