package notify

import (
	"fmt"
	"net/url"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// KindTarget is the kind of definition whose Compiled is a [Target].
const KindTarget = "AlertNotificationTarget"

// Types of a [Target]: which form its messages have.
const (
	TypeAlertmanagerWebhook = "alertmanager-webhook" // Alertmanager's webhook payload, version 4, to any receiver that knows it
	TypeAlertmanager        = "alertmanager"         // Alertmanager's API, POST /api/v2/alerts, posted again each minute while it fires
	TypePagerDuty           = "pagerduty"            // PagerDuty Events API v2
	TypeSlack               = "slack"                // a Slack incoming webhook
	TypeCloudEvents         = "cloudevents"          // CloudEvents over HTTP, binary mode
)

// Types lists the types of a [Target].
func Types() []string {
	return []string{TypeAlertmanagerWebhook, TypeAlertmanager, TypePagerDuty, TypeSlack, TypeCloudEvents}
}

// A Target is a place that hears of alerts: the compiled form of an AlertNotificationTarget definition. A secret never stands in
// it, only a reference: "env:NAME" or "file:PATH", which the process that sends resolves.
type Target struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// URL is where to post. What is itself a secret (a Slack webhook) goes to URLFrom instead. PagerDuty needs neither.
	URL     string `json:"url,omitempty"`
	URLFrom string `json:"urlFrom,omitempty"`
	// SecretFrom is PagerDuty's routing key; for the other types the Standard Webhooks secrets ("whsec_…", several separated by
	// spaces while one replaces another) that sign each message.
	SecretFrom      string `json:"secretFrom,omitempty"`
	AllowPrivate    bool   `json:"allowPrivate,omitempty"` // the address may be private or loopback; see bus/webhook
	GlobalNamespace string `json:"globalNamespace,omitempty"`
	// Default makes it hear the alerts that name no target. A target whose name is "default" is one too, and so is the only
	// target of its global namespace.
	Default bool `json:"default,omitempty"`
	// NoWatchdog stops the always-firing Watchdog alert for this target. WatchdogEvery is its interval, at least 10 s; 0 means a
	// minute for type alertmanager and ten for alertmanager-webhook and cloudevents. The other types have people behind them and
	// hear no Watchdog.
	NoWatchdog    bool         `json:"noWatchdog,omitempty"`
	WatchdogEvery slo.Duration `json:"watchdogEvery,omitempty"`
}

const pagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// Validate says what is wrong with the target, what would be right, or nil. The field that is meant stands first in the text.
func (t Target) Validate() error {
	switch t.Type {
	case TypeAlertmanagerWebhook, TypeAlertmanager, TypePagerDuty, TypeSlack, TypeCloudEvents:
	default:
		return fmt.Errorf("type: %q is not known; use one of %s", t.Type, strings.Join(Types(), ", "))
	}
	if t.Name == "" {
		return fmt.Errorf("name: is empty")
	}
	if err := t.validateURL(); err != nil {
		return err
	}
	for _, r := range []struct{ field, ref string }{{"urlFrom", t.URLFrom}, {"secretFrom", t.SecretFrom}} {
		if r.ref != "" && !reference(r.ref) {
			return fmt.Errorf("%s: is not a reference; write env:NAME or file:PATH, never the secret itself", r.field)
		}
	}
	if t.Type == TypePagerDuty && t.SecretFrom == "" {
		return fmt.Errorf("secretFrom: is needed for type pagerduty: a reference to the routing key, for example env:EVENKEEL_SECRET_PAGERDUTY")
	}
	if t.WatchdogEvery != 0 && t.WatchdogEvery.Time() < watchdogMin {
		return fmt.Errorf("watchdogEvery: %s is under %s", t.WatchdogEvery, slo.Duration(watchdogMin))
	}
	return nil
}

func (t Target) validateURL() error {
	switch {
	case t.URL != "" && t.URLFrom != "":
		return fmt.Errorf("url: stands beside urlFrom; keep one of them")
	case t.URL == "" && t.URLFrom == "" && t.Type != TypePagerDuty:
		return fmt.Errorf("url: is missing; write url, or urlFrom with a reference")
	case t.URL == "":
		return nil
	}
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("url: is not an http or https URL") // without the URL, which may hold a secret
	}
	if u.User != nil {
		return fmt.Errorf("url: holds a user and password, which all readers of definitions would see; put the whole URL behind urlFrom")
	}
	if t.Type == TypeSlack && strings.HasSuffix(u.Hostname(), "hooks.slack.com") {
		return fmt.Errorf("url: a Slack webhook URL is a secret, which all readers of definitions would see; put it behind urlFrom, for example env:EVENKEEL_SECRET_SLACK")
	}
	return nil
}

func reference(s string) bool {
	name, ok := strings.CutPrefix(s, "env:")
	if !ok {
		name, ok = strings.CutPrefix(s, "file:")
	}
	return ok && name != "" && !strings.ContainsAny(name, "\n\r\x00")
}

// Endpoint returns the URL to post to, "" where it stands behind URLFrom.
func (t Target) Endpoint() string {
	if t.Type == TypePagerDuty && t.URL == "" && t.URLFrom == "" {
		return pagerDutyURL
	}
	return t.URL
}

// Signed reports whether messages carry a Standard Webhooks signature: a secret is set and is none that the body itself needs.
func (t Target) Signed() bool { return t.SecretFrom != "" && t.Type != TypePagerDuty }

const watchdogMin = 10 * bus.Second

// watchdogEvery is the interval of the target's Watchdog, 0 for none.
func (t Target) watchdogEvery() bus.Time {
	switch {
	case t.NoWatchdog, t.Type == TypePagerDuty, t.Type == TypeSlack:
		return 0
	case t.WatchdogEvery > 0:
		return max(t.WatchdogEvery.Time(), watchdogMin)
	case t.Type == TypeAlertmanager:
		return bus.Minute
	}
	return 10 * bus.Minute
}
