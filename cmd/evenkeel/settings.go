package main

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"evenkeel.dev/bus"
	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// fromFile sets what the settings file says: flags that were given neither on the command line nor by the environment, and the sections.
func fromFile(fs *pflag.FlagSet, s *app.Settings, file string) error {
	if file == "" {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("--settings: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return fmt.Errorf("--settings %s: %w", file, err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	r := settingsReader{file: file}
	return r.top(doc.Content[0], fs, s)
}

// settingsReader fills settings from a YAML tree, strictly: an unknown key is an error with its place and the nearest known name.
type settingsReader struct{ file string }

func (r settingsReader) at(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d:%d: %w", r.file, n.Line, n.Column, fmt.Errorf(format, args...))
}

func (r settingsReader) unknown(n *yaml.Node, known []string) error {
	if near := mesh.Nearest(n.Value, known); near != "" {
		return r.at(n, "unknown key %q; did you mean %q?", n.Value, near)
	}
	return r.at(n, "unknown key %q; known are %s", n.Value, strings.Join(known, ", "))
}

// pairs calls f for each key and value of a map and refuses keys that stand twice.
func (r settingsReader) pairs(n *yaml.Node, f func(key, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return r.at(n, "here must be a map")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if seen[k.Value] {
			return r.at(k, "key %q stands twice", k.Value)
		}
		seen[k.Value] = true
		if err := f(k, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (r settingsReader) top(n *yaml.Node, fs *pflag.FlagSet, s *app.Settings) error {
	flags, known := map[string]*pflag.Flag{}, []string{}
	fs.VisitAll(func(f *pflag.Flag) {
		if len(f.Annotations[environment]) > 0 && f.Name != "settings" && fs.Lookup(f.Name) == f && runs(f.Name) {
			flags[camel(f.Name)] = f
			known = append(known, camel(f.Name))
		}
	})
	sections := fields(reflect.ValueOf(&s.Sections).Elem())
	for i := range sections {
		known = append(known, sections[i].name)
	}
	return r.pairs(n, func(k, v *yaml.Node) error {
		if f := flags[k.Value]; f != nil {
			return r.flag(fs, f, v)
		}
		for _, sec := range sections {
			if sec.name == k.Value {
				return r.value(v, sec.value)
			}
		}
		return r.unknown(k, known)
	})
}

// runs reports whether a flag belongs to run and not to the connection of client commands.
func runs(flag string) bool { return flag != "server" && flag != "token" && flag != "ca" }

func (r settingsReader) flag(fs *pflag.FlagSet, f *pflag.Flag, v *yaml.Node) error {
	if f.Changed {
		return nil
	}
	text := v.Value
	if v.Kind == yaml.SequenceNode {
		var items []string
		for _, i := range v.Content {
			items = append(items, i.Value)
		}
		text = strings.Join(items, ",")
	} else if v.Kind != yaml.ScalarNode {
		return r.at(v, "%s must be one value", camel(f.Name))
	}
	if err := fs.Set(f.Name, text); err != nil {
		return r.at(v, "%s: %w", camel(f.Name), err)
	}
	return nil
}

// camel is a flag's name as a key: "nats-listen" is natsListen.
func camel(flag string) string {
	parts := strings.Split(flag, "-")
	for i := 1; i < len(parts); i++ {
		parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
	}
	return strings.Join(parts, "")
}

type settingsField struct {
	name  string
	value reflect.Value
}

// fields lists the exported fields of a struct that a file may set, by their names in it: the first letters in lower case.
func fields(v reflect.Value) []settingsField {
	var out []settingsField
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.IsExported() && settable(f.Type) {
			name := f.Tag.Get("yaml")
			if name == "" {
				name = lowerFirst(f.Name)
			}
			out = append(out, settingsField{name, v.Field(i)})
		}
	}
	return out
}

func settable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint32, reflect.Float64, reflect.Struct:
		return true
	case reflect.Slice, reflect.Pointer, reflect.Map:
		return settable(t.Elem())
	}
	return false
}

// lowerFirst turns LogBytes into logBytes and URL into url.
func lowerFirst(s string) string {
	rs := []rune(s)
	for i := range rs {
		if i > 0 && i+1 < len(rs) && unicode.IsLower(rs[i+1]) || !unicode.IsUpper(rs[i]) {
			break
		}
		rs[i] = unicode.ToLower(rs[i])
	}
	return string(rs)
}

// value sets v to what n says.
func (r settingsReader) value(n *yaml.Node, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return r.value(n, v.Elem())
	case reflect.Slice:
		return r.list(n, v)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		return r.pairs(n, func(k, item *yaml.Node) error {
			e := reflect.New(v.Type().Elem()).Elem()
			if err := r.value(item, e); err != nil {
				return err
			}
			v.SetMapIndex(reflect.ValueOf(k.Value), e)
			return nil
		})
	case reflect.Struct:
		return r.section(n, v)
	}
	if n.Kind != yaml.ScalarNode {
		return r.at(n, "here must be one value")
	}
	if err := setScalar(v, n.Value); err != nil {
		return r.at(n, "%w", err)
	}
	return nil
}

func (r settingsReader) list(n *yaml.Node, v reflect.Value) error {
	if n.Kind != yaml.SequenceNode {
		return r.at(n, "here must be a list")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		if err := r.value(item, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (r settingsReader) section(n *yaml.Node, v reflect.Value) error {
	fs := fields(v)
	return r.pairs(n, func(k, item *yaml.Node) error {
		var known []string
		for _, f := range fs {
			if f.name == k.Value {
				return r.value(item, f.value)
			}
			known = append(known, f.name)
		}
		return r.unknown(k, known)
	})
}

// setScalar reads a text as the type of v. Durations are written 15s, 10m or 30d, sizes may end in KiB, MiB or GiB.
func setScalar(v reflect.Value, text string) error {
	switch v.Interface().(type) {
	case bus.Time, time.Duration, slo.Duration:
		d, err := slo.ParseDuration(text)
		if err != nil {
			return err
		}
		n := int64(d)
		if v.Type() == reflect.TypeFor[time.Duration]() {
			n *= int64(time.Millisecond)
		}
		v.SetInt(n)
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return nil
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return err
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		v.SetFloat(f)
		return err
	}
	n, err := parseSize(text)
	if err != nil {
		return err
	}
	if v.CanInt() {
		v.SetInt(n)
	} else {
		v.SetUint(uint64(n))
	}
	return nil
}

// parseSize reads a whole number from 0, with an optional unit of bytes.
func parseSize(text string) (int64, error) {
	unit := int64(1)
	for i, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, ok := strings.CutSuffix(text, u); ok {
			text, unit = strings.TrimSpace(rest), 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is no whole number from 0; a size may end in KiB, MiB or GiB", text)
	}
	return n * unit, nil
}
