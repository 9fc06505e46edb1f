package notify

import (
	"fmt"
	"net/url"
	"slices"
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
	TypeEmail               = "email"                // a mail over SMTP
)

// Types lists the types of a [Target].
func Types() []string {
	return []string{TypeAlertmanagerWebhook, TypeAlertmanager, TypePagerDuty, TypeSlack, TypeCloudEvents, TypeEmail}
}

// What a target may group by.
const (
	GroupByNamespace = "globalNamespace"
	GroupByService   = "service"
	GroupBySeverity  = "severity"
)

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

	// Mail is set for, and only for, type email. SecretFrom is then the password.
	Mail *MailTarget `json:"mail,omitempty"`

	// NoInhibit has tickets told although a page of their SLO fires.
	NoInhibit bool `json:"noInhibit,omitempty"`
	// CoolDown is for how long after the end of an alert its next beginning is held; 0: not at all, at most a day.
	CoolDown slo.Duration `json:"coolDown,omitempty"`
	// GroupBy has alerts that come within GroupWait (default 30 s, at most 10 min) and have these in common told in one message. It is
	// for the types that can say several: alertmanager-webhook, slack and email.
	GroupBy   []string     `json:"groupBy,omitempty"`
	GroupWait slo.Duration `json:"groupWait,omitempty"`
}

// Bounds of a target.
const (
	CoolDownMax      = bus.Day
	GroupWaitDefault = 30 * bus.Second
	GroupWaitMin     = bus.Second
	GroupWaitMax     = 10 * bus.Minute // a page must not wait for longer
)

// groups reports whether alerts to the target are grouped.
func (t *Target) groups() bool { return len(t.GroupBy) > 0 }

func (t *Target) groupWait() bus.Time {
	if t.GroupWait == 0 {
		return GroupWaitDefault
	}
	return t.GroupWait.Time()
}

const pagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// Validate says what is wrong with the target, what would be right, or nil. The field that is meant stands first in the text.
func (t Target) Validate() error {
	switch t.Type {
	case TypeAlertmanagerWebhook, TypeAlertmanager, TypePagerDuty, TypeSlack, TypeCloudEvents, TypeEmail:
	default:
		return fmt.Errorf("type: %q is not known; use one of %s", t.Type, strings.Join(Types(), ", "))
	}
	if t.Name == "" {
		return fmt.Errorf("name: is empty")
	}
	if (t.Type == TypeEmail) != (t.Mail != nil) {
		return fmt.Errorf("mail: is for type email, and that needs it")
	}
	if t.Mail != nil {
		if err := t.validateMail(); err != nil {
			return err
		}
	} else if err := t.validateURL(); err != nil {
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
	return t.validateTiming()
}

// validateTiming checks cool-down and grouping.
func (t Target) validateTiming() error {
	if t.CoolDown < 0 || t.CoolDown.Time() > CoolDownMax {
		return fmt.Errorf("coolDown: %s is not from 0s to %s", t.CoolDown, slo.Duration(CoolDownMax))
	}
	if len(t.GroupBy) == 0 {
		if t.GroupWait != 0 {
			return fmt.Errorf("groupWait: stands without groupBy")
		}
		return nil
	}
	switch t.Type {
	case TypeAlertmanagerWebhook, TypeSlack, TypeEmail:
	default:
		return fmt.Errorf("groupBy: type %s takes one alert a message and groups by itself; leave it out", t.Type)
	}
	for i, by := range t.GroupBy {
		if by != GroupByNamespace && by != GroupByService && by != GroupBySeverity {
			return fmt.Errorf("groupBy: %q is none of %s, %s, %s", by, GroupByNamespace, GroupByService, GroupBySeverity)
		}
		if slices.Contains(t.GroupBy[:i], by) {
			return fmt.Errorf("groupBy: %s stands twice", by)
		}
	}
	if t.GroupWait != 0 && (t.GroupWait.Time() < GroupWaitMin || t.GroupWait.Time() > GroupWaitMax) {
		return fmt.Errorf("groupWait: %s is not from %s to %s", t.GroupWait, slo.Duration(GroupWaitMin), slo.Duration(GroupWaitMax))
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
func (t Target) Signed() bool {
	return t.SecretFrom != "" && t.Type != TypePagerDuty && t.Type != TypeEmail
}

const watchdogMin = 10 * bus.Second

// watchdogEvery is the interval of the target's Watchdog, 0 for none.
func (t Target) watchdogEvery() bus.Time {
	switch {
	case t.NoWatchdog, t.Type == TypePagerDuty, t.Type == TypeSlack, t.Type == TypeEmail:
		return 0
	case t.WatchdogEvery > 0:
		return max(t.WatchdogEvery.Time(), watchdogMin)
	case t.Type == TypeAlertmanager:
		return bus.Minute
	}
	return 10 * bus.Minute
}
