package app

import (
	"slices"
	"strings"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	meshtanzu "evenkeel.dev/mesh/tanzu"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo/native"
	"evenkeel.dev/slo/tanzu"
)

// ConvertTanzu writes SLOs, global namespaces and traffic-routing policies as Tanzu Service Mesh's API answers them, JSON, and global namespaces as they are declared
// for it, as definitions of our own kinds. Source names where the telemetry of SLOs comes from, "" being Istio.
func ConvertTanzu(files []console.File, globalNamespace, source string) (Converted, error) {
	known, err := kinds()
	if err != nil {
		return Converted{}, err
	}
	c := tanzuConversion{known: known, options: tanzu.Options{GlobalNamespace: globalNamespace, Source: source, Bounds: native.Bounds(source)}}
	if source == "" {
		c.options.Bounds = native.Bounds("istio")
	}
	for _, f := range files {
		if err := c.file(f); err != nil {
			return Converted{}, err
		}
	}
	c.Text = []byte(c.text.String())
	return c.Converted, nil
}

// A tanzuConversion is the work of ConvertTanzu.
type tanzuConversion struct {
	Converted
	known   *mesh.Kinds
	options tanzu.Options
	text    strings.Builder
	written []mesh.Definition // global namespaces and traffic policies
}

func (c *tanzuConversion) file(f console.File) error {
	docs, problems := yaml.Parse(f.Name, []byte(f.Text))
	if slices.ContainsFunc(docs, func(d mesh.Document) bool { return meshtanzu.Declared(&d) }) {
		return c.declared(docs, problems)
	}
	root, err := mesh.ReadJSON([]byte(f.Text))
	if err != nil {
		c.Left = append(c.Left, mesh.Problem{File: f.Name, Message: "this is not JSON: " + err.Error(), Hint: "save what GET …/service-level-objectives, …/global-namespaces or …/traffic-routing-policies answers"})
		return nil
	}
	d := &mesh.Document{File: f.Name, Root: root}
	if meshtanzu.Looks(root) {
		nodes, left, notes := meshtanzu.Convert(d)
		return c.nodes(d, nodes, left, notes)
	}
	if meshtanzu.LooksRouting(root) {
		nodes, left, notes := meshtanzu.ConvertRouting(d, c.options.GlobalNamespace)
		return c.nodes(d, nodes, left, notes)
	}
	r, ps := tanzu.Convert(d, c.options)
	if c.Left = append(c.Left, ps...); len(ps) > 0 {
		return nil
	}
	c.write(r.YAML)
	for _, n := range r.Notes {
		c.Notes = append(c.Notes, mesh.Problem{File: f.Name, Message: n})
	}
	return nil
}

// declared converts a file of declared objects. Names are made DNS labels later.
func (c *tanzuConversion) declared(docs []mesh.Document, problems []mesh.Problem) error {
	for _, p := range problems {
		if p.Path != "metadata.name" {
			c.Left = append(c.Left, p)
		}
	}
	for i := range docs {
		d := &docs[i]
		if !meshtanzu.Declared(d) {
			c.Left = append(c.Left, d.Problem("apiVersion", d.Kind+" of "+d.APIVersion+" is not converted", "GlobalNamespace of "+meshtanzu.APIVersions+"v1 is"))
			continue
		}
		nodes, left, notes := meshtanzu.Convert(d)
		if err := c.nodes(d, nodes, left, notes); err != nil {
			return err
		}
	}
	return nil
}

// nodes writes what a document was converted into.
func (c *tanzuConversion) nodes(d *mesh.Document, nodes []*mesh.Node, left, notes []mesh.Problem) error {
	c.Left, c.Notes = append(c.Left, left...), append(c.Notes, notes...)
	for _, n := range nodes {
		if !c.right(d, n) {
			continue
		}
		text, err := yaml.Format(n)
		if err != nil {
			return err
		}
		c.write(string(text))
	}
	return nil
}

// right reports whether what is to be written passes its own check, beside what is written already, and tells what is wrong. A built document
// has no lines: the path says the place.
func (c *tanzuConversion) right(d *mesh.Document, n *mesh.Node) bool {
	built, ps := mesh.NewDocument(d.File, "", n)
	ds, more := c.known.Compile([]mesh.Document{built}, c.written)
	mistakes, _ := mesh.Mistakes(append(ps, more...))
	for _, p := range mistakes {
		p.Message = built.Name + ": " + p.Path + ": " + p.Message
		c.Left = append(c.Left, p)
	}
	if len(mistakes) > 0 {
		return false
	}
	c.written = append(c.written, ds...)
	return true
}

// write appends documents.
func (c *tanzuConversion) write(text string) {
	if c.text.Len() > 0 && text != "" {
		c.text.WriteString("---\n")
	}
	c.text.WriteString(text)
}
