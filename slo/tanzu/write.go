package tanzu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"evenkeel.dev/mesh"
)

// annotationID keeps the SLO's id as Tanzu had it, where the name is another one.
const annotationID = "evenkeel.dev/tanzu-id"

const descriptionMax = 1050 // characters that the kind takes

// A written is one SLO as it will stand in the file.
type written struct {
	id, slug, name string
	description    string
	labels         []label
	service        string
	actionable     bool
	objective      string // per cent
	sli            indicator
}

// remarks notes what is not as it was.
func (c *converter) remarks(p *policy, b *written, slis []indicator) {
	c.note("Tanzu judged samples of 10 to 15 s; here slices of 1m are judged. A slice exactly at its threshold is good here and was bad there")
	c.note("a service is judged as a whole; in Tanzu one bad instance was enough")
	c.note("time without data is good: Tanzu's budget lost bad time only")
	if len(slis) > 1 {
		c.note("%s: its %d SLIs have a budget each; in Tanzu they shared one, from which each bad sample was taken once", b.id, len(slis))
		if b.actionable {
			c.note("%s: only its SLO of %s is Actionable, since a service has one", b.id, slis[c.leading(slis)].suffix)
		}
	}
	if p.Actions != nil && len(p.Actions.Items)+len(p.Actions.Fields) > 0 {
		c.note("%s: slo_actions are not taken over", b.id)
	}
	for _, s := range slis {
		switch {
		case s.threshold == 0:
			c.note("%s: errors are 4xx and 5xx, as in Tanzu; a mistyped address burns budget. Without tanzuErrors they are 5xx and 429", b.id)
		case c.bucketed(s):
			c.note("%s: %s %d became: at least %s%% of the requests of each slice within %s", b.id, s.metric, s.threshold, s.target, s.threshold)
		default:
			c.note("%s: %s %d is not counted: no bucket of the source %s ends there%s. It is written as a comment; configure such a bucket, or take a threshold that is one",
				b.id, s.metric, s.threshold, c.o.Source, c.around(s))
		}
	}
	if n := len([]rune(b.description)); n > descriptionMax {
		b.description = string([]rune(b.description)[:descriptionMax])
		c.note("%s: the description is cut; it had %d characters", b.id, n)
	}
}

// bucketed reports whether what an SLI asks for can be counted.
func (c *converter) bucketed(s indicator) bool {
	return s.threshold == 0 || c.o.Bounds == nil || slices.Contains(c.o.Bounds, s.threshold)
}

// around names the bounds that are next to a threshold.
func (c *converter) around(s indicator) string {
	i, _ := slices.BinarySearch(c.o.Bounds, s.threshold)
	var near []string
	for _, j := range []int{i - 1, i} {
		if j >= 0 && j < len(c.o.Bounds) {
			near = append(near, c.o.Bounds[j].String())
		}
	}
	if len(near) == 0 {
		return ""
	}
	return ", but at " + strings.Join(near, " and ")
}

// write appends one document, as a comment where it cannot be counted.
func (c *converter) write(path string, w *written) {
	if hint := mesh.LabelHint(w.name); hint != "" {
		c.add(path, fmt.Sprintf("the name %q is not a DNS label", w.name), hint)
		return
	}
	if c.names[w.name] {
		c.add(path, fmt.Sprintf("two SLOs would be named %q", w.name), "convert them apart, and rename one")
		return
	}
	c.names[w.name] = true
	text := c.document(w)
	if !c.bucketed(w.sli) {
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		text = fmt.Sprintf("# Not counted: no bucket of the source %s ends at %s%s.\n# ", c.o.Source, w.sli.threshold, c.around(w.sli)) + strings.Join(lines, "\n# ") + "\n"
	}
	if c.out.Len() > 0 {
		c.out.WriteString("---\n")
	}
	c.out.WriteString(text)
}

// document writes a document. Texts of others are quoted: Go's escapes are all YAML's, too.
func (c *converter) document(w *written) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("apiVersion: evenkeel.dev/v1beta1")
	line("kind: SLO")
	line("metadata:")
	line("  name: %s", quoteName(w.name))
	if c.o.Namespace != "" {
		line("  namespace: %s", quoteName(c.o.Namespace))
	}
	if len(w.labels) > 0 {
		line("  labels:")
		for _, l := range w.labels {
			line("    %s: %s", strconv.Quote(l.Key), strconv.Quote(l.Value))
		}
	}
	if w.name != w.id {
		line("  annotations: {%s: %s}", annotationID, strconv.Quote(w.id))
	}
	line("spec:")
	if w.description != "" {
		line("  description: %s", strconv.Quote(w.description))
	}
	if c.gns != "" {
		line("  globalNamespace: %s", quoteName(c.gns))
	}
	line("  targetRef: {kind: Service, name: %s}", quoteName(w.service))
	if w.actionable {
		line("  type: Actionable")
	}
	line("  objective: %s%%", w.objective)
	line("  window: {calendar: Month, timeZone: UTC}")
	line("  sli:")
	line("    source: %s", quoteName(c.o.Source))
	switch {
	case w.sli.threshold == 0:
		line("    availability: {tanzuErrors: true}")
	case !c.bucketed(w.sli):
		line("    latency: {threshold: %s, anyBucket: true}", w.sli.threshold)
	default:
		line("    latency: {threshold: %s}", w.sli.threshold)
	}
	line("  budgeting: {method: Timeslices, slice: {length: 1m, target: %s%%}}", w.sli.target)
	line("  onNoData: Good")
	return b.String()
}

// quoteName writes a name plainly where YAML cannot take it for something else.
func quoteName(s string) string {
	plain := s != "" && (s[0] >= 'a' && s[0] <= 'z')
	for i := range len(s) {
		c := s[i]
		plain = plain && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if plain && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, s) {
		return s
	}
	return strconv.Quote(s)
}
