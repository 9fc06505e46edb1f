package notify

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// webhookPayload is what Alertmanager posts to a webhook receiver (version "4", with the fields that came later).
type webhookPayload struct {
	Receiver           string            `json:"receiver"`
	Status             string            `json:"status"`
	Alerts             []webhookAlert    `json:"alerts"`
	NotificationReason string            `json:"notification_reason"`
	GroupLabels        map[string]string `json:"groupLabels"`
	CommonLabels       map[string]string `json:"commonLabels"`
	CommonAnnotations  map[string]string `json:"commonAnnotations"`
	RouteLabels        map[string]string `json:"routeLabels"`
	ExternalURL        string            `json:"externalURL"`
	Version            string            `json:"version"`
	GroupKey           string            `json:"groupKey"`
	TruncatedAlerts    uint64            `json:"truncatedAlerts"`
}

type webhookAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     string            `json:"startsAt"`
	EndsAt       string            `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// noTime is how Alertmanager writes that there is no end yet.
const noTime = "0001-01-01T00:00:00Z"

// alertmanagerWebhook renders one group: that of the target, or else that of the SLO and tier, which has one alert.
func (r Renderer) alertmanagerWebhook(d *Delivery) webhookPayload {
	p := webhookPayload{Version: "4", Receiver: d.Target.Name, Status: slo.AlertFiring, NotificationReason: "first notification", RouteLabels: map[string]string{}, ExternalURL: strings.TrimSuffix(r.ExternalURL, "/")}
	switch {
	case d.Alert.State == slo.AlertResolved: // in a group those that fire stand first
		p.Status, p.NotificationReason = slo.AlertResolved, "all alerts resolved"
	case d.Kind == KindWatchdog:
		p.NotificationReason = "repeat interval elapsed"
	}
	for _, one := range d.each() {
		p.Alerts = append(p.Alerts, r.webhookAlert(&one))
	}
	if d.Group != nil {
		p.GroupLabels, p.TruncatedAlerts = d.Group.Labels, uint64(d.Group.Truncated)
	} else {
		p.GroupLabels = map[string]string{}
		for _, k := range []string{"alertname", "global_namespace", "service", "slo", "tier"} {
			if v, ok := p.Alerts[0].Labels[k]; ok {
				p.GroupLabels[k] = v
			}
		}
	}
	p.GroupKey = "{}:" + labelString(p.GroupLabels)
	p.CommonLabels = common(p.Alerts, func(a *webhookAlert) map[string]string { return a.Labels })
	p.CommonAnnotations = common(p.Alerts, func(a *webhookAlert) map[string]string { return a.Annotations })
	return p
}

func (r Renderer) webhookAlert(d *Delivery) webhookAlert {
	ls := labels(d)
	a := webhookAlert{Status: slo.AlertFiring, Labels: ls, Annotations: r.annotations(d), StartsAt: d.Alert.StartsAt, EndsAt: noTime, GeneratorURL: r.link(d), Fingerprint: fingerprint(ls)}
	if d.Alert.State == slo.AlertResolved {
		a.Status, a.EndsAt = slo.AlertResolved, d.Alert.EndsAt
	}
	return a
}

// common returns what all alerts have the same.
func common(as []webhookAlert, of func(*webhookAlert) map[string]string) map[string]string {
	out := maps.Clone(of(&as[0]))
	for i := range as[1:] {
		other := of(&as[i+1])
		maps.DeleteFunc(out, func(k, v string) bool { x, ok := other[k]; return !ok || x != v })
	}
	return out
}

// postedAlert is one alert of Alertmanager's API, POST /api/v2/alerts.
type postedAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     string            `json:"startsAt"`
	EndsAt       string            `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// alertLife is how long Alertmanager keeps an alert that is not posted again: five of the intervals at which it is.
const alertLife = 5 * bus.Minute

func (r Renderer) alertmanagerAPI(d *Delivery) []postedAlert {
	ends := (d.At + alertLife).String()
	if d.Kind == KindWatchdog {
		ends = (d.At + max(alertLife, 3*d.Target.watchdogEvery())).String()
	}
	if d.Alert.State == slo.AlertResolved {
		ends = d.Alert.EndsAt
	}
	return []postedAlert{{Labels: labels(d), Annotations: r.annotations(d), StartsAt: d.Alert.StartsAt, EndsAt: ends, GeneratorURL: r.link(d)}}
}

func sortedNames(ls map[string]string) []string {
	names := make([]string, 0, len(ls))
	for k := range ls {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

// labelString writes labels as Prometheus does: {a="1", b="2"}.
func labelString(ls map[string]string) string {
	parts := make([]string, 0, len(ls))
	for _, k := range sortedNames(ls) {
		parts = append(parts, k+"="+strconv.Quote(ls[k]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// fingerprint is Alertmanager's: FNV-1a (64 bits) of the sorted names and values, each followed by the byte 255
// (prometheus/common, model.LabelSet.Fingerprint), in 16 hexadecimal digits.
func fingerprint(ls map[string]string) string {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	add := func(s string) {
		for i := 0; i < len(s); i++ {
			h = (h ^ uint64(s[i])) * prime
		}
		h = (h ^ 255) * prime
	}
	for _, k := range sortedNames(ls) {
		add(k)
		add(ls[k])
	}
	s := strconv.FormatUint(h, 16)
	return strings.Repeat("0", 16-len(s)) + s
}
