package app

import (
	"bytes"
	"fmt"
	"strings"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/openslo"
)

// A Converted is what came of converting files.
type Converted struct {
	Text  []byte         // OpenSLO v1, YAML
	Left  []mesh.Problem // SLOs and alerts that are missing in it, and why
	Notes []mesh.Problem // what else could not be kept
}

// writer reads objectives with their words out of documents of a kind.
type writer interface {
	Convert(d *mesh.Document) (ws []slo.Written, left, notes []mesh.Problem)
}

// Convert writes the definitions of files as OpenSLO v1. What could not be kept is said in the text too, as comments above the documents
// that it belongs to.
func Convert(files []console.File) (Converted, error) {
	cs, err := compilers()
	if err != nil {
		return Converted{}, err
	}
	known, err := mesh.NewKinds(cs.all()...)
	if err != nil {
		return Converted{}, err
	}
	docs, left := parse(files)
	c := conversion{compilers: cs, taken: map[mesh.Ref]bool{}}
	c.document(c.tell(left, nil), nil)
	writers := map[mesh.Kind]writer{}
	for _, k := range cs.sloth.Kinds() {
		writers[k] = cs.sloth
	}
	for _, k := range cs.pyrra.Kinds() {
		writers[k] = cs.pyrra
	}
	for i := range docs {
		d := &docs[i]
		kind := mesh.Kind{APIVersion: d.APIVersion, Kind: d.Kind}
		w := writers[kind]
		switch {
		case w != nil:
			err = c.written(d, w)
		case kind.APIVersion == openslo.APIVersion:
			err = c.same(d)
		case kind.APIVersion == openslo.APIVersionAlpha:
			err = c.rewritten(d)
		default:
			_, ps := known.Compile([]mesh.Document{*d}, nil) // says what is wrong with the kind
			if len(ps) == 0 {
				ps = []mesh.Problem{d.Problem("kind", fmt.Sprintf("%s of %s cannot be written as OpenSLO", d.Kind, d.APIVersion), "")}
			}
			c.document(c.tell(ps, nil), nil)
		}
		if err != nil {
			return Converted{}, err
		}
	}
	c.Left, c.Notes = mesh.SortProblems(c.Left), mesh.SortProblems(c.Notes)
	c.Text = c.out.Bytes()
	return c.Converted, nil
}

// A conversion is the work of Convert.
type conversion struct {
	Converted
	compilers *compilerSet
	taken     map[mesh.Ref]bool
	out       bytes.Buffer
	begun     bool
}

// tell takes over what could not be kept and returns it as comments.
func (c *conversion) tell(left, notes []mesh.Problem) string {
	c.Left, c.Notes = append(c.Left, left...), append(c.Notes, notes...)
	var b strings.Builder
	for _, p := range mesh.SortProblems(append(append([]mesh.Problem{}, left...), notes...)) {
		b.WriteString("# ")
		b.WriteString(strings.Join(strings.Fields(strings.ToValidUTF8(p.String(), "?")), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// document appends one document with the comments above it.
func (c *conversion) document(comments string, text []byte) {
	if c.begun && (len(text) > 0 || comments != "") {
		c.out.WriteString("---\n")
	}
	c.begun = c.begun || len(text) > 0 || comments != ""
	c.out.WriteString(comments)
	c.out.Write(text)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		c.out.WriteByte('\n')
	}
}

// node appends a built document.
func (c *conversion) node(comments string, n *mesh.Node) error {
	text, err := yaml.Format(n)
	if err == nil {
		c.document(comments, text)
	}
	return err
}

// same takes over a document that is OpenSLO v1 already, as it is written.
func (c *conversion) same(d *mesh.Document) error {
	if problem, ok := c.take(d, d.Ref()); !ok {
		c.document(c.tell([]mesh.Problem{problem}, nil), nil)
		return nil
	}
	c.document("", []byte(d.Source))
	return nil
}

// rewritten converts a document of OpenSLO v1alpha.
func (c *conversion) rewritten(d *mesh.Document) error {
	nodes, left, notes := c.compilers.openslo.Convert(d)
	var keep []*mesh.Node
	for _, n := range nodes {
		v1, ps := mesh.NewDocument(d.File, "", n)
		if len(ps) > 0 { // a name of several, which is too long
			left = append(left, ps...)
			continue
		}
		if problem, ok := c.take(d, v1.Ref()); !ok {
			left = append(left, problem)
			continue
		}
		keep = append(keep, n)
	}
	return c.nodes(c.tell(left, notes), keep)
}

func (c *conversion) nodes(comments string, ns []*mesh.Node) error {
	if len(ns) == 0 {
		c.document(comments, nil)
	}
	for _, n := range ns {
		if err := c.node(comments, n); err != nil {
			return err
		}
		comments = ""
	}
	return nil
}

// take claims the name of a document among those that are written.
func (c *conversion) take(d *mesh.Document, ref mesh.Ref) (mesh.Problem, bool) {
	if c.taken[ref] {
		return d.Problem("metadata.name", fmt.Sprintf("%s is written already, from another document", ref), "rename one of them"), false
	}
	c.taken[ref] = true
	return mesh.Problem{}, true
}

// written converts a document whose objectives are read with their words.
func (c *conversion) written(d *mesh.Document, from writer) error {
	ws, left, notes := from.Convert(d)
	var nodes []*mesh.Node
	for i := range ws {
		w := &ws[i]
		ref := mesh.Ref{APIVersion: openslo.APIVersion, Kind: openslo.KindSLO, Namespace: w.Namespace, Name: w.Name}
		if c.taken[ref] { // Sloth's names are unique in a service, and those of definitions in a namespace
			ref.Namespace, w.Namespace = w.Service, w.Service
			notes = append(notes, d.Problem("metadata.name", fmt.Sprintf("the SLO %s of service %s stands in namespace %s, since there is one of that name already", w.Name, w.Service, w.Namespace), ""))
		}
		if problem, ok := c.take(d, ref); !ok {
			left = append(left, problem)
			continue
		}
		n, err := openslo.Write(w)
		if err != nil {
			left = append(left, d.Problem("", fmt.Sprintf("the SLO %s of service %s is left out: %v", w.Name, w.Service, err), ""))
			continue
		}
		nodes = append(nodes, n)
	}
	return c.nodes(c.tell(left, notes), nodes)
}
