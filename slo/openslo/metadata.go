package openslo

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

const prefix = "evenkeel.dev/"

// Annotations of metadata that have a meaning here; another with the same prefix is a mistake.
const (
	AnnotationGlobalNamespace = prefix + "global-namespace"  // all kinds; also a label; default "default"
	AnnotationRunbook         = prefix + "runbook"           // SLO: a URL that each alert carries
	AnnotationOnNoData        = prefix + "on-no-data"        // SLO: Hold, Exclude, Good or Bad
	AnnotationBudgetAlerts    = prefix + "budget-alerts"     // SLO: shares of the budget at which to alert, "50%, 90%"
	AnnotationExhaustion      = prefix + "exhaustion-alert"  // SLO: alert when the budget is foretold to end within this time
	AnnotationAbsent          = prefix + "absent-alert"      // SLO: alert when no samples have come for this time
	AnnotationLowTraffic      = prefix + "low-traffic-guard" // SLO: "false" lets burn alerts fire by the ratio alone
	AnnotationGroupBy         = prefix + "group-by"          // SLO: labels, each value of which gets an SLO of its own; target: what the alerts of one message have in common
	AnnotationMaxGroups       = prefix + "max-groups"        // SLO: how many of those there may be
	AnnotationGroupAlerts     = prefix + "group-alerts"      // SLO: who alerts: Groups, RollUp or Both
	AnnotationComposite       = prefix + "composite"         // SLO: how objectives with own indicators are joined: Worst, WeightedMean or AllMustHold
	AnnotationCompositeTarget = prefix + "composite-target"  // SLO: the target of those objectives together
	AnnotationURL             = prefix + "url"               // target: where to post
	AnnotationURLFrom         = prefix + "url-from"          // target: the same, where it is a secret: env:NAME or file:PATH
	AnnotationSecretFrom      = prefix + "secret-from"       // target: PagerDuty's key, else the secret that signs (Standard Webhooks)
	AnnotationAllowPrivate    = prefix + "allow-private"     // target: "true" lets it be a private or loopback address
	AnnotationDefault         = prefix + "default"           // target: "true" makes it hear alerts that name no target
	AnnotationWatchdog        = prefix + "watchdog"          // target: "false" spares it the always-firing alert
	AnnotationWatchdogEvery   = prefix + "watchdog-every"    // target: how often, at least 10s
	AnnotationInhibit         = prefix + "inhibit"           // target: "false" has tickets told although a page of their SLO fires
	AnnotationCoolDown        = prefix + "cool-down"         // target: for how long after its end an alert that fires again is held
	AnnotationGroupWait       = prefix + "group-wait"        // target: for how long a message waits for more alerts
	AnnotationMailTo          = prefix + "mail-to"           // target email: addresses, separated by commas
	AnnotationMailFrom        = prefix + "mail-from"         // target email: the sender's address
	AnnotationSMTP            = prefix + "smtp"              // target email: host:port of the server that takes the mail
	AnnotationSMTPUser        = prefix + "smtp-user"         // target email: who signs on with the password; default the sender's address
	AnnotationAllowInsecure   = prefix + "allow-insecure"    // target email: "true" sends in the clear
)

func knownAnnotations(kind string) []string {
	known := []string{AnnotationGlobalNamespace}
	switch kind {
	case KindSLO:
		known = append(known, AnnotationRunbook, AnnotationOnNoData, AnnotationBudgetAlerts, AnnotationExhaustion, AnnotationAbsent, AnnotationLowTraffic, AnnotationAlerts, AnnotationAlert+"NAME",
			AnnotationGroupBy, AnnotationMaxGroups, AnnotationGroupAlerts, AnnotationComposite, AnnotationCompositeTarget, slo.AnnotationPercentiles, slo.AnnotationInterpolate)
	case KindTarget:
		known = append(known, AnnotationURL, AnnotationURLFrom, AnnotationSecretFrom, AnnotationAllowPrivate, AnnotationDefault, AnnotationWatchdog, AnnotationWatchdogEvery,
			AnnotationInhibit, AnnotationCoolDown, AnnotationGroupBy, AnnotationGroupWait,
			AnnotationMailTo, AnnotationMailFrom, AnnotationSMTP, AnnotationSMTPUser, AnnotationAllowInsecure)
	}
	return known
}

func annotationPath(name string) string { return mesh.JoinPath("metadata.annotations", name) }

// annotations refuses those of ours that the kind does not have.
func (r *run) annotations(d *mesh.Document, m *metadata) {
	known := knownAnnotations(d.Kind)
	for name := range m.Annotations { // problems are sorted afterwards
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) || d.Kind == KindSLO && strings.HasPrefix(name, AnnotationAlert) && name != AnnotationAlert {
			continue
		}
		hint := "known: " + strings.Join(known, ", ")
		var tails []string
		for _, k := range known {
			tails = append(tails, strings.TrimPrefix(k, prefix))
		}
		if n := mesh.Nearest(strings.TrimPrefix(name, prefix), tails); n != "" {
			hint = fmt.Sprintf("did you mean %q?", prefix+n)
		}
		r.add(d.KeyProblem(annotationPath(name), fmt.Sprintf("unknown annotation %q of kind %s", name, d.Kind), hint))
	}
}

// globalNamespace reads the boundary that an object belongs to, from an annotation or a label.
func (r *run) globalNamespace(d *mesh.Document, m *metadata) string {
	name, path := m.Annotations[AnnotationGlobalNamespace], annotationPath(AnnotationGlobalNamespace)
	labelPath := mesh.JoinPath("metadata.labels", AnnotationGlobalNamespace)
	if l := m.Labels[AnnotationGlobalNamespace]; l != nil && l.Kind == mesh.NodeString {
		if name != "" && l.Text != name {
			r.add(d.Problem(labelPath, fmt.Sprintf("the label says global namespace %q, the annotation %q", l.Text, name), "keep one of them"))
		}
		if name == "" {
			name, path = l.Text, labelPath
		}
	}
	if node(d, path) == nil {
		return "default"
	}
	if hint := mesh.LabelHint(name); hint != "" {
		r.add(d.Problem(path, fmt.Sprintf("the global namespace %q is not a DNS label", name), hint))
		return "default"
	}
	return name
}

// labels joins values of a label that has several by commas.
func (r *run) labels(d *mesh.Document, m *metadata) map[string]string {
	out := map[string]string{}
	for name, n := range m.Labels {
		path := mesh.JoinPath("metadata.labels", name)
		values := []*mesh.Node{n}
		switch {
		case n == nil:
			values = nil
			r.add(d.KeyProblem(path, fmt.Sprintf("the label %q has no value", name), `write "" for an empty one`))
		case n.Kind == mesh.NodeList:
			values = n.Items
		}
		var texts []string
		for _, v := range values {
			if v.Kind != mesh.NodeString {
				r.add(d.Problem(path, fmt.Sprintf("%s must be a string or a list of strings, found %s", path, v.Kind), "put it in quotes"))
				continue
			}
			texts = append(texts, v.Text)
		}
		out[name] = strings.Join(texts, ",")
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// descriptionMax is OpenSLO's.
const descriptionMax = 1050

func (r *run) description(d *mesh.Document, text string) {
	if n := utf8.RuneCountInString(text); n > descriptionMax {
		r.add(d.Problem("spec.description", fmt.Sprintf("the description has %d characters; OpenSLO allows %d", n, descriptionMax), ""))
	}
}

var secretName = regexp.MustCompile(`(?i)(password|passwd|secret|token|credential|private|api_?key|access_?key|authorization)`)

// compileSource checks a DataSource. Nothing is read from it, so that a secret in it would only lie about.
func (r *run) compileSource(d *mesh.Document, def *mesh.Definition) {
	var o object[sourceSpec]
	r.decode(d, &o, &o.Metadata, def)
	r.description(d, o.Spec.Description)
	if o.Spec.Type == "" {
		r.absent(d, "spec.type", "spec.type is missing", "write type: Prometheus")
	}
	if o.Spec.ConnectionDetails != nil {
		r.secrets(d, "spec.connectionDetails", o.Spec.ConnectionDetails)
	}
}

func (r *run) secrets(d *mesh.Document, path string, n *mesh.Node) {
	const hint = "take it out: all readers of definitions would see it, and Evenkeel reads nothing from a data source"
	for _, f := range n.Fields {
		at := mesh.JoinPath(path, f.Key)
		if secretName.MatchString(f.Key) && f.Value.Kind == mesh.NodeString && f.Value.Text != "" {
			r.add(d.KeyProblem(at, fmt.Sprintf("%q looks like a secret", f.Key), hint))
			continue
		}
		r.secrets(d, at, f.Value)
	}
	for i, v := range n.Items {
		r.secrets(d, fmt.Sprintf("%s[%d]", path, i), v)
	}
	if scheme, rest, ok := strings.Cut(n.Text, "://"); ok && scheme != "" && n.Kind == mesh.NodeString {
		host, _, _ := strings.Cut(rest, "/")
		if strings.Contains(host, "@") {
			r.add(d.Problem(path, "the URL holds a user or password", hint))
		}
	}
}
