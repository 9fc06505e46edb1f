package gns

import (
	"fmt"
	"maps"
	"slices"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// A pattern is as it is written: by name, or a label selector as Kubernetes has it.
type pattern struct {
	Type             string            `json:"type"`
	Match            string            `json:"match"`
	MatchLabels      map[string]string `json:"matchLabels"`
	MatchExpressions []expression      `json:"matchExpressions"`
}

type expression struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

// pattern compiles the one at a path; nil where there is none.
func (r *run) pattern(d *mesh.Document, path string, p *pattern) *member.Pattern {
	if p == nil || !d.Holds(path, mesh.NodeMap) {
		return nil
	}
	out := &member.Pattern{Type: r.Choice(path+".type", p.Type, "", member.Exact, member.StartsWith, member.Labels), Match: p.Match}
	switch out.Type {
	case member.Labels:
		if d.Value(path+".match") != nil {
			r.Wrong(path+".match", "match goes with Exact and StartsWith", "with Labels write matchLabels or matchExpressions")
		}
		out.Required = r.selector(d, path, p)
	case member.Exact, member.StartsWith:
		for _, field := range []string{".matchLabels", ".matchExpressions"} {
			if d.Value(path+field) != nil {
				r.Wrong(path+field, field[1:]+" goes with type Labels", "write type: Labels, or leave it out")
			}
		}
		r.match(d, path+".match", out)
	}
	return out
}

// match checks what a name must be, or begin with.
func (r *run) match(d *mesh.Document, path string, p *member.Pattern) {
	hint := "write the whole name"
	if p.Type == member.StartsWith {
		hint = `write what it begins with; what takes in all is type: Labels with matchExpressions: [{key: kubernetes.io/metadata.name, operator: Exists}]`
	}
	if !r.Text(path, hint) {
		return
	}
	if p.Type == member.Exact {
		r.Label(path, "the name", p.Match)
		return
	}
	// A beginning is right when a name can follow from it: one letter more must make a DNS label.
	if hint := mesh.LabelHint(p.Match + "a"); hint != "" && (len(p.Match) != 63 || mesh.LabelHint(p.Match) != "") {
		r.Wrong(path, fmt.Sprintf("no name begins with %q", p.Match), "names are DNS labels: lower-case letters, digits and \"-\"")
	}
}

// selector compiles labels, which must all hold.
func (r *run) selector(d *mesh.Document, path string, p *pattern) []member.Expression {
	if len(p.MatchLabels)+len(p.MatchExpressions) == 0 {
		if !r.Misspelled(path+".matchLabels") && !r.Misspelled(path+".matchExpressions") {
			r.Wrong(path, "the selector is empty", "write for example matchLabels: {app: shop}")
		}
		return nil
	}
	if !r.Bound(path+".matchLabels", len(p.MatchLabels), maxExpressions) || !r.Bound(path+".matchExpressions", len(p.MatchExpressions), maxExpressions) {
		return nil
	}
	var out []member.Expression
	for _, key := range slices.Sorted(maps.Keys(p.MatchLabels)) {
		out = append(out, member.Expression{Key: key, Operator: member.In, Values: []string{p.MatchLabels[key]}})
	}
	for i := range p.MatchExpressions {
		out = append(out, r.expression(d, fmt.Sprintf("%s.matchExpressions[%d]", path, i), &p.MatchExpressions[i]))
	}
	return out
}

func (r *run) expression(d *mesh.Document, path string, e *expression) member.Expression {
	r.Text(path+".key", "name the label")
	out := member.Expression{Key: e.Key, Operator: r.Choice(path+".operator", e.Operator, "", member.In, member.NotIn, member.Exists, member.DoesNotExist), Values: e.Values}
	switch out.Operator {
	case member.In, member.NotIn:
		if len(e.Values) == 0 && !r.Misspelled(path+".values") {
			r.Wrong(path+".values", out.Operator+" needs values", "write for example values: [shop]")
		}
		r.Bound(path+".values", len(e.Values), maxValues)
	case member.Exists, member.DoesNotExist:
		if len(e.Values) > 0 {
			r.Wrong(path+".values", out.Operator+" takes no values", "leave them out")
		}
	}
	return out
}
