package openslo

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// target has the shape of notify.Target, which a shell may not import.
type target struct {
	Name            string        `json:"name"`
	Type            string        `json:"type"`
	URL             string        `json:"url,omitempty"`
	URLFrom         string        `json:"urlFrom,omitempty"`
	SecretFrom      string        `json:"secretFrom,omitempty"`
	AllowPrivate    bool          `json:"allowPrivate,omitempty"`
	GlobalNamespace string        `json:"globalNamespace,omitempty"`
	Default         bool          `json:"default,omitempty"`
	NoWatchdog      bool          `json:"noWatchdog,omitempty"`
	WatchdogEvery   *slo.Duration `json:"watchdogEvery,omitempty"`
	Mail            *mailTarget   `json:"mail,omitempty"`
	NoInhibit       bool          `json:"noInhibit,omitempty"`
	CoolDown        *slo.Duration `json:"coolDown,omitempty"`
	GroupBy         []string      `json:"groupBy,omitempty"`
	GroupWait       *slo.Duration `json:"groupWait,omitempty"`
}

// Types of targets that spec.target may name.
const (
	typeAlertmanagerWebhook = "alertmanager-webhook"
	typeAlertmanager        = "alertmanager"
	typePagerDuty           = "pagerduty"
	typeSlack               = "slack"
	typeCloudEvents         = "cloudevents"
	typeEmail               = "email"
)

func (r *run) compileTarget(d *mesh.Document, def *mesh.Definition) {
	before := len(r.problems)
	var o object[targetSpec]
	r.decode(d, &o, &o.Metadata, def)
	r.description(d, o.Spec.Description)
	a := o.Metadata.Annotations
	t := target{
		Name: d.Name, Type: r.targetType(d, o.Spec.Target), GlobalNamespace: def.GlobalNamespace,
		URL: a[AnnotationURL], URLFrom: a[AnnotationURLFrom], SecretFrom: a[AnnotationSecretFrom],
		AllowPrivate: r.flag(d, a, AnnotationAllowPrivate, false), Default: r.flag(d, a, AnnotationDefault, false),
		NoWatchdog: !r.flag(d, a, AnnotationWatchdog, true), NoInhibit: !r.flag(d, a, AnnotationInhibit, true),
		WatchdogEvery: r.span(d, a, AnnotationWatchdogEvery, 10*bus.Second, 0, "for example 1m"),
		CoolDown:      r.span(d, a, AnnotationCoolDown, bus.Second, bus.Day, "for example 10m; leave it out for none"),
	}
	r.grouping(d, a, &t)
	r.reference(d, AnnotationURLFrom, t.URLFrom)
	r.reference(d, AnnotationSecretFrom, t.SecretFrom)
	if t.Type == typeEmail {
		r.mail(d, a, &t)
	} else {
		r.noMail(d, a)
		r.address(d, &t)
	}
	if len(r.problems) > before {
		return
	}
	r.claim(d, def, "metadata.name", "notify/"+def.GlobalNamespace+"/"+d.Name, fmt.Sprintf("the target %q of global namespace %q", d.Name, def.GlobalNamespace))
	encode(def, t)
}

func (r *run) targetType(d *mesh.Document, text string) string {
	const path = "spec.target"
	types := []string{typeAlertmanagerWebhook, typeAlertmanager, typePagerDuty, typeSlack, typeCloudEvents, typeEmail}
	kind := strings.ToLower(text)
	if kind == "mail" || kind == "e-mail" {
		kind = typeEmail
	}
	switch n := node(d, path); {
	case n == nil:
		r.absent(d, path, "spec.target is missing", "one of "+strings.Join(types, ", "))
	case n.Kind != mesh.NodeString || slices.Contains(types, kind):
	case kind == "webhook" || kind == "web-hook":
		r.add(d.Problem(path, fmt.Sprintf("target %q does not say in which form to post", text), "use alertmanager-webhook or cloudevents"))
	default:
		hint := "one of " + strings.Join(types, ", ")
		if near := mesh.Nearest(kind, types); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		r.add(d.Problem(path, fmt.Sprintf("unknown target %q", text), hint))
	}
	return kind
}

// flag reads an annotation that is "true" or "false".
func (r *run) flag(d *mesh.Document, annotations map[string]string, name string, absent bool) bool {
	switch v, ok := annotations[name]; {
	case !ok:
		return absent
	case v == "true" || v == "false":
		return v == "true"
	default:
		if stringAt(d, annotationPath(name)) {
			r.add(d.Problem(annotationPath(name), fmt.Sprintf("%s must be \"true\" or \"false\", found %q", name, v), ""))
		}
		return absent
	}
}

// reference checks that a secret is named and does not stand there. The text is not repeated, since it may be the secret.
func (r *run) reference(d *mesh.Document, name, text string) {
	if !stringAt(d, annotationPath(name)) {
		return
	}
	rest, env := strings.CutPrefix(text, "env:")
	ok := env
	if !ok {
		rest, ok = strings.CutPrefix(text, "file:")
	}
	switch {
	case !ok || rest == "" || strings.ContainsAny(rest, "\n\r\x00"):
		r.add(d.Problem(annotationPath(name), name+" is not a reference", "write env:NAME or file:PATH, never the secret itself"))
	case env && !strings.HasPrefix(rest, r.cfg.EnvPrefix):
		r.add(d.Problem(annotationPath(name), name+" names an environment variable that definitions may not read", "the name must begin with "+r.cfg.EnvPrefix))
	}
}

// address checks that there is one place to post to and that it holds no secret.
func (r *run) address(d *mesh.Document, t *target) {
	at := annotationPath(AnnotationURL)
	switch {
	case t.URL != "" && t.URLFrom != "":
		r.add(d.KeyProblem(at, "evenkeel.dev/url and evenkeel.dev/url-from exclude each other", "keep one of them"))
		return
	case t.URL == "" && t.URLFrom == "" && t.Type != typePagerDuty:
		r.absent(d, at, "the target has no address", fmt.Sprintf("write the annotation %s, or %s where it is a secret", AnnotationURL, AnnotationURLFrom))
		return
	case t.Type == typePagerDuty && t.SecretFrom == "":
		r.absent(d, annotationPath(AnnotationSecretFrom), "target pagerduty needs its routing key", "write the annotation "+AnnotationSecretFrom+": env:NAME or file:PATH")
	}
	if t.URL == "" {
		return
	}
	u, err := url.Parse(t.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		r.add(d.Problem(at, "evenkeel.dev/url is not an http or https URL", ""))
	case u.User != nil, strings.HasSuffix(u.Hostname(), "hooks.slack.com"):
		r.add(d.Problem(at, "this URL holds a secret, which all readers of definitions would see", "put it behind "+AnnotationURLFrom+": env:NAME or file:PATH"))
	}
}
