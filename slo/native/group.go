package native

import (
	"errors"
	"fmt"
	"slices"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// groups compiles spec.groupBy: one more SLO for each value of labels.
func (r *run) groups(d *mesh.Document, g *groupBy, o *slo.Objective) {
	const path = "spec.groupBy"
	if g == nil {
		return
	}
	switch n := node(d, path+".labels"); {
	case n == nil:
		r.absent(d, path+".labels", path+".labels is missing", "write for example labels: [region]")
	case n.Kind == mesh.NodeList && len(g.Labels) == 0:
		r.add(d.Problem(path+".labels", "there are no labels to group by", "name one that the series have, or leave groupBy out"))
	case n.Kind == mesh.NodeList:
		o.GroupBy = r.groupLabels(d, g.Labels)
	}
	if kindAt(d, path+".max", mesh.NodeNumber) {
		if g.Max < 1 || g.Max > slo.MaxGroups {
			r.add(d.Problem(path+".max", fmt.Sprintf("%s is no number of groups from 1 to %d", node(d, path+".max").Text, slo.MaxGroups), fmt.Sprintf("it is %d where none is written", slo.DefaultMaxGroups)))
		}
		o.MaxGroups = g.Max
	}
	switch known := slo.GroupAlerts(); {
	case !kindAt(d, path+".alerts", mesh.NodeString):
	case !slices.Contains(known, g.Alerts):
		r.oneOf(d, path+".alerts", g.Alerts, known)
	default:
		o.GroupAlerts = g.Alerts
	}
}

// groupLabels checks the labels; those that are no strings have been told by Decode.
func (r *run) groupLabels(d *mesh.Document, labels []string) []string {
	for i := range labels {
		if !kindAt(d, labelPath(i), mesh.NodeString) {
			if node(d, labelPath(i)) == nil {
				r.add(d.Problem(labelPath(i), "an empty name of a label", "name a label that the series have, for example region"))
			}
			return nil
		}
	}
	if r.groupProblem(d, slo.CheckGroupBy(labels)) {
		return nil
	}
	return labels
}

// splits tells of a label by which good events are told from others.
func (r *run) splits(d *mesh.Document, o *slo.Objective) {
	r.groupProblem(d, o.CheckGroupSplit())
}

// groupProblem puts what is wrong with labels to its place; false where nothing is.
func (r *run) groupProblem(d *mesh.Document, err error) bool {
	if err == nil {
		return false
	}
	path := "spec.groupBy.labels"
	var at *slo.GroupByError
	if errors.As(err, &at) && at.Label >= 0 {
		path = labelPath(at.Label)
	}
	message, hint := mesh.Advice(err)
	r.add(d.Problem(path, message, hint))
	return true
}

func labelPath(i int) string { return fmt.Sprintf("spec.groupBy.labels[%d]", i) }
