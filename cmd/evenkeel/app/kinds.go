package app

import (
	"errors"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"evenkeel.dev/bus/cloudevents"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/gns"
	"evenkeel.dev/mesh/traffic"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo/exclude"
	"evenkeel.dev/slo/native"
	"evenkeel.dev/slo/openslo"
	"evenkeel.dev/slo/promql"
	"evenkeel.dev/slo/pyrra"
	"evenkeel.dev/slo/sloth"
	"evenkeel.dev/slo/zone"
)

// kinds is the one list of compilers of definitions.
func kinds() (*mesh.Kinds, error) {
	cs, err := compilers()
	if err != nil {
		return nil, err
	}
	return mesh.NewKinds(cs.all()...)
}

// A compilerSet is all compilers of definitions.
type compilerSet struct {
	openslo *openslo.Compiler
	sloth   *sloth.Compiler
	pyrra   *pyrra.Compiler
	native  *native.Compiler
	exclude *exclude.Compiler
	gns     *gns.Compiler
	traffic *traffic.Compiler
}

func (c *compilerSet) all() []mesh.Compiler {
	return []mesh.Compiler{c.openslo, c.sloth, c.pyrra, c.native, c.exclude, c.gns, c.traffic}
}

func compilers() (*compilerSet, error) {
	var c compilerSet
	var errs [5]error
	c.openslo, errs[0] = openslo.New(openslo.Config{Compile: promql.Compile, Form: promql.Form, Select: promql.Select, Zone: zone.Of, EnvPrefix: secretPrefix})
	c.sloth, errs[1] = sloth.New(sloth.Config{Compile: promql.Compile, Form: promql.Form})
	c.pyrra, errs[2] = pyrra.New(pyrra.Config{Compile: promql.Compile, Form: promql.Form, Select: promql.Select})
	c.native, errs[3] = native.New(native.Config{Compile: promql.Compile, Form: promql.Form, Zone: zone.Of})
	c.exclude, errs[4] = exclude.New(exclude.Config{Zone: zone.Of})
	c.gns, c.traffic = gns.New(), traffic.New()
	return &c, errors.Join(errs[:]...)
}

// KindNames lists the kinds of definitions, as they are written.
func KindNames() ([]string, error) {
	k, err := kinds()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, kind := range k.Known() {
		if !slices.Contains(out, kind.Kind) {
			out = append(out, kind.Kind)
		}
	}
	return out, nil
}

// DefinitionFile reports whether a file of this name holds definitions. Unit tests may stand beside them.
func DefinitionFile(name string) bool {
	stem, ok := yamlStem(name)
	return ok && !strings.HasSuffix(stem, ".test")
}

// TestFile reports whether a file of this name holds unit tests of definitions: NAME.test.yaml.
func TestFile(name string) bool {
	stem, ok := yamlStem(name)
	return ok && strings.HasSuffix(stem, ".test")
}

// yamlStem cuts the end off the name of a YAML or JSON file that is not hidden.
func yamlStem(name string) (string, bool) {
	for _, end := range []string{".yaml", ".yml", ".json"} {
		if stem, ok := strings.CutSuffix(name, end); ok {
			return stem, !strings.HasPrefix(name, ".")
		}
	}
	return "", false
}

// parse reads the documents of all files.
func parse(files []console.File) ([]mesh.Document, []mesh.Problem) {
	var docs []mesh.Document
	var problems []mesh.Problem
	for _, f := range files {
		ds, ps := yaml.Parse(f.Name, []byte(f.Text))
		docs, problems = append(docs, ds...), append(problems, ps...)
	}
	return docs, problems
}

// Documents returns the names of what files define, in their order. Whether it is right is not looked at.
func Documents(files []console.File) ([]mesh.Ref, []mesh.Problem) {
	docs, problems := parse(files)
	var refs []mesh.Ref
	for i := range docs {
		refs = append(refs, docs[i].Ref())
	}
	return refs, mesh.SortProblems(problems)
}

// Check compiles files as if nothing else were defined.
func Check(files []console.File) ([]mesh.Definition, []mesh.Problem, error) {
	k, err := kinds()
	if err != nil {
		return nil, nil, err
	}
	ds, ps := compile(k, files, nil)
	return ds, ps, nil
}

// compile reads and compiles files. What could not be read does not hide the mistakes of the rest.
func compile(k *mesh.Kinds, files []console.File, existing []mesh.Definition) ([]mesh.Definition, []mesh.Problem) {
	docs, problems := parse(files)
	ds, ps := k.Compile(docs, existing)
	return ds, mesh.SortProblems(append(problems, ps...))
}

// EventSchema returns the AsyncAPI document of all public events.
func EventSchema() ([]byte, error) { return cloudevents.AsyncAPI() }

// Version says what runs, as the Go toolchain has noted it in the binary.
func Version() console.Version {
	v := console.Version{Version: "devel", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value[:min(len(s.Value), 12)]
		}
	}
	return v
}
