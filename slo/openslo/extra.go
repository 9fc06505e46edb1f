package openslo

import (
	"fmt"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// Annotations that carry what other formats say of alerts and OpenSLO has no field for.
const (
	AnnotationAlerts = prefix + "alerts" // SLO: "page" or "ticket", the one of the default alerts that it has
	AnnotationAlert  = prefix + "alert." // SLO: with a name behind it, an annotation that each alert carries
)

// alertAnnotations returns what goes with each alert: the SLO's description, and the annotations for it.
func alertAnnotations(description string, m *metadata) map[string]string {
	out := map[string]string{}
	if description != "" {
		out["description"] = description
	}
	for name, text := range m.Annotations {
		if key, ok := strings.CutPrefix(name, AnnotationAlert); ok && key != "" {
			out[key] = text
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// someDefaults reads which of the default alerts an SLO has; "" is both.
func (r *run) someDefaults(d *mesh.Document, m *metadata) string {
	text, ok := m.Annotations[AnnotationAlerts]
	path := annotationPath(AnnotationAlerts)
	switch {
	case !ok:
	case node(d, "spec.alertPolicies") != nil:
		r.add(d.KeyProblem(path, fmt.Sprintf("%s and alertPolicies exclude each other", AnnotationAlerts), "keep one of them"))
	case text != slo.SeverityPage && text != slo.SeverityTicket:
		r.add(d.Problem(path, fmt.Sprintf("%s must be page or ticket, found %q", AnnotationAlerts, text), "leave it out to have both; for none write alertPolicies: []"))
	default:
		return text
	}
	return ""
}

// keepDefaults leaves an objective one of its default alerts.
func keepDefaults(o *slo.Objective, name string) {
	if name == "" {
		return
	}
	o.Alerting.Tiers = defaultTiers(o.Target, o.Window.Duration, name)
	o.Alerting.Disabled = len(o.Alerting.Tiers) == 0
}
