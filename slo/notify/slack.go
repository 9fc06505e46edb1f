package notify

import (
	"fmt"
	"strings"

	"evenkeel.dev/slo"
)

// slackMessage is the body of a Slack incoming webhook: blocks, and a text for notifications and for screen readers.
type slackMessage struct {
	Text   string       `json:"text"`
	Blocks []slackBlock `json:"blocks"`
}

type slackBlock struct {
	Type     string      `json:"type"`
	Text     *slackText  `json:"text,omitempty"`
	Fields   []slackText `json:"fields,omitempty"`
	Elements []slackText `json:"elements,omitempty"`
}

type slackText struct {
	Type string `json:"type"` // plain_text or mrkdwn
	Text string `json:"text"`
}

// Slack's bounds, in characters, with room for what is added.
const (
	slackTextMax  = 2900 // of 3,000 in a section
	slackFieldMax = 1900 // of 2,000 in a field
	slackFootMax  = 300
	slackURLMax   = 800 // two of them and two texts make at most 3,000

	slackGroupTextMax = 1200 // with two links
)

func slackMark(d *Delivery) string {
	switch a := &d.Alert; {
	case d.Kind == KindTest:
		return ":test_tube: *Test*"
	case a.State == slo.AlertResolved:
		return ":white_check_mark: *Resolved*"
	case a.Severity != slo.SeverityPage:
		return ":warning: *Firing*"
	}
	return ":rotating_light: *Firing*"
}

func slackSection(text string) slackBlock {
	return slackBlock{Type: "section", Text: &slackText{Type: "mrkdwn", Text: text}}
}

// slackGroupMax is how many alerts a message lists one by one: with more blocks Slack refuses it (50).
const slackGroupMax = 40

// slackGroup lists several alerts, a block each.
func (r Renderer) slackGroup(d *Delivery) slackMessage {
	m := slackMessage{Text: slackEscape(groupSummary(d), slackTextMax)}
	m.Blocks = append(m.Blocks, slackSection("*"+strings.ReplaceAll(m.Text, "*", "")+"*"))
	ones := d.each()
	for i := range ones[:min(len(ones), slackGroupMax)] {
		one := &ones[i]
		text := slackMark(one) + " " + slackEscape(summary(one), slackGroupTextMax)
		for _, l := range []string{slackLink(one.Alert.Runbook, "Runbook"), slackLink(r.link(one), "Status")} {
			if l != "" {
				text += "  ·  " + l
			}
		}
		m.Blocks = append(m.Blocks, slackSection(text))
	}
	if more := len(ones) - slackGroupMax + d.Group.Truncated; more > 0 {
		m.Blocks = append(m.Blocks, slackBlock{Type: "context", Elements: []slackText{{Type: "mrkdwn", Text: fmt.Sprintf("and %d more", more)}}})
	}
	return m
}

func (r Renderer) slack(d *Delivery) slackMessage {
	if d.Group != nil {
		return r.slackGroup(d)
	}
	a := &d.Alert
	title := slackEscape(summary(d), slackTextMax)
	m := slackMessage{Text: title}
	m.Blocks = append(m.Blocks, slackSection(slackMark(d)+" "+title))
	if d.Kind == KindTest {
		m.Blocks = append(m.Blocks, slackSection(slackEscape(description(d), slackTextMax)))
		return m
	}
	m.Blocks = append(m.Blocks, slackBlock{Type: "section", Fields: slackFields(a)})
	if text := a.Annotations["description"]; text != "" {
		m.Blocks = append(m.Blocks, slackBlock{Type: "section", Text: &slackText{Type: "mrkdwn", Text: slackEscape(text, slackTextMax)}})
	}
	var foot []string
	if l := slackLink(a.Runbook, "Runbook"); l != "" {
		foot = append(foot, l)
	}
	if l := slackLink(r.link(d), "Status"); l != "" {
		foot = append(foot, l)
	}
	if t := r.timeline(d); t != "" {
		foot = append(foot, "`"+strings.ReplaceAll(slackEscape(t, slackFootMax), "`", "'")+"`")
	}
	when := "since " + a.StartsAt
	if a.State == slo.AlertResolved {
		when = a.StartsAt + " to " + a.EndsAt
	}
	foot = append(foot, slackEscape(when, slackFootMax))
	m.Blocks = append(m.Blocks, slackBlock{Type: "context", Elements: []slackText{{Type: "mrkdwn", Text: strings.Join(foot, "  ·  ")}}})
	return m
}

func slackFields(a *slo.AlertEvent) []slackText {
	field := func(name, value string) slackText {
		return slackText{Type: "mrkdwn", Text: "*" + name + "*\n" + slackEscape(value, slackFieldMax)}
	}
	fields := []slackText{
		field("SLO", orDefault(a.GlobalNamespace)+" / "+a.Service+" / "+a.SLO),
		field("Objective", percent(a.Objective)+" over "+a.Window.Duration.String()),
		field("Error budget left", strings.TrimPrefix(strings.TrimSuffix(budget(a), "."), "Error budget left: ")),
	}
	if p := a.Pair; p != nil {
		fields = append(fields, field("Burn rate", number(p.LongRate)+" over "+p.Long.String()+", "+number(p.ShortRate)+" over "+p.Short.String()+" (limit "+p.Factor.String()+")"))
	}
	return fields
}

// slackEscape escapes s for Slack, and cuts it so that the result has at most n characters.
func slackEscape(s string, n int) string {
	var b strings.Builder
	for _, r := range s {
		e, size := string(r), 1
		switch r {
		case '&':
			e, size = "&amp;", 5
		case '<':
			e, size = "&lt;", 4
		case '>':
			e, size = "&gt;", 4
		}
		if n -= size; n < 1 {
			b.WriteString("…")
			break
		}
		b.WriteString(e)
	}
	return b.String()
}

// slackLink makes a link, or "" for what is no web address.
func slackLink(href, text string) string {
	if len(href) > slackURLMax || !webAddress(href) || strings.ContainsAny(href, "<>|") {
		return ""
	}
	return "<" + strings.ReplaceAll(href, "&", "&amp;") + "|" + text + ">"
}

// webAddress reports whether a text is one address to which a page may link.
func webAddress(s string) bool {
	return (strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")) && !strings.ContainsAny(s, " \t\r\n")
}
