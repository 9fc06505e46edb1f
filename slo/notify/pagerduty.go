package notify

import (
	"crypto/sha256"
	"encoding/hex"

	"evenkeel.dev/slo"
)

// pagerDutyEvent is an event of PagerDuty's Events API v2.
type pagerDutyEvent struct {
	RoutingKey  string            `json:"routing_key"`
	EventAction string            `json:"event_action"` // trigger or resolve
	DedupKey    string            `json:"dedup_key"`
	Payload     *pagerDutyPayload `json:"payload,omitempty"` // a resolve needs none
	Client      string            `json:"client,omitempty"`
	ClientURL   string            `json:"client_url,omitempty"`
	Links       []pagerDutyLink   `json:"links,omitempty"`
}

type pagerDutyPayload struct {
	Summary       string            `json:"summary"`
	Source        string            `json:"source"`
	Severity      string            `json:"severity"` // critical, error, warning or info
	Timestamp     string            `json:"timestamp"`
	Component     string            `json:"component,omitempty"`
	Group         string            `json:"group,omitempty"`
	Class         string            `json:"class,omitempty"`
	CustomDetails map[string]string `json:"custom_details,omitempty"`
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

const (
	pagerDutySummaryMax = 1024
	pagerDutyDedupMax   = 255
)

// pagerDuty opens or closes one incident for each firing of an alert. The key is the alert's ID, not its SLO: the end of one firing,
// told late, can then never close the next one's incident.
func (r Renderer) pagerDuty(d *Delivery, routingKey string) pagerDutyEvent {
	a := &d.Alert
	e := pagerDutyEvent{RoutingKey: routingKey, EventAction: "trigger", DedupKey: "evenkeel/" + a.ID}
	if len(e.DedupKey) > pagerDutyDedupMax {
		sum := sha256.Sum256([]byte(a.ID))
		e.DedupKey = "evenkeel/" + hex.EncodeToString(sum[:])
	}
	if a.State == slo.AlertResolved {
		e.EventAction = "resolve"
		return e
	}
	e.Payload = &pagerDutyPayload{
		Summary: cut(summary(d), pagerDutySummaryMax), Source: orDefault(a.GlobalNamespace) + "/" + a.Service, Severity: pagerDutySeverity(a.Severity), Timestamp: a.StartsAt,
		Component: a.Service, Group: orDefault(a.GlobalNamespace), Class: alertName(d), CustomDetails: r.annotations(d),
	}
	for k, v := range labels(d) {
		e.Payload.CustomDetails["label_"+k] = v
	}
	e.Client, e.ClientURL = "Evenkeel", r.link(d)
	if a.Runbook != "" {
		e.Links = append(e.Links, pagerDutyLink{Href: a.Runbook, Text: "Runbook"})
	}
	return e
}

// pagerDutySeverity maps ours to PagerDuty's four: page to critical, ticket to warning, any other to error.
func pagerDutySeverity(severity string) string {
	switch severity {
	case "page":
		return "critical"
	case "ticket":
		return "warning"
	case severityNone:
		return "info"
	}
	return "error"
}
