package notify

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"evenkeel.dev/slo"
)

// alertName is the label alertname: "SLOBurnRate" and the tier in camel case, for example SLOBurnRatePage; "Watchdog" for that one.
func alertName(d *Delivery) string {
	switch d.Kind {
	case KindWatchdog:
		return watchdogAlert
	case KindTest:
		return trialAlert
	}
	var b strings.Builder
	b.WriteString("SLOBurnRate")
	for _, w := range strings.FieldsFunc(d.Alert.Tier, func(r rune) bool { return !asciiAlnum(r) }) {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

func asciiAlnum(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// labels identify an alert: alertname, severity, tier, slo, service and global_namespace. They are the same from firing to resolved.
func labels(d *Delivery) map[string]string {
	if d.Kind == KindWatchdog {
		return map[string]string{"alertname": watchdogAlert, "severity": severityNone}
	}
	a := &d.Alert
	if d.Kind == KindTest { // no route that looks for pages or for an SLO may take it for one
		return map[string]string{"alertname": trialAlert, "severity": severityNone, "global_namespace": orDefault(a.GlobalNamespace)}
	}
	ls := map[string]string{
		"alertname": alertName(d), "severity": a.Severity, "tier": a.Tier, "slo": a.SLO, "service": a.Service, "global_namespace": orDefault(a.GlobalNamespace),
	}
	for k, v := range ls {
		if v == "" {
			delete(ls, k) // Alertmanager takes an empty label for none
		}
	}
	return ls
}

// annotations are the alert's own and, where those do not say otherwise, summary, description, runbook_url and timeline.
func (r Renderer) annotations(d *Delivery) map[string]string {
	as := map[string]string{"summary": summary(d), "description": description(d)}
	if d.Kind == KindWatchdog || d.Kind == KindTest {
		return as
	}
	if d.Alert.Runbook != "" {
		as["runbook_url"] = d.Alert.Runbook
	}
	if t := r.timeline(d); t != "" {
		as["timeline"] = t
	}
	for k, v := range d.Alert.Annotations {
		as[annotationName(k)] = v
	}
	return as
}

// Words returns the labels and annotations with which an Alertmanager gets an alert, whoever it is sent to.
func Words(e slo.AlertEvent) (labelSet, annotations map[string]string) {
	d := &Delivery{Kind: KindAlert, Alert: e}
	return labels(d), Renderer{}.annotations(d)
}

// annotationName makes a name of letters, digits and "_", which is all that Alertmanager takes everywhere.
func annotationName(s string) string {
	name := strings.Map(func(r rune) rune {
		if asciiAlnum(r) {
			return r
		}
		return '_'
	}, s)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}

func (r Renderer) timeline(d *Delivery) string {
	if r.Timeline == "" || d.Kind == KindWatchdog || d.Kind == KindTest {
		return ""
	}
	return r.Timeline + " " + d.Alert.SLO
}

// summary is one line.
func summary(d *Delivery) string {
	a := &d.Alert
	if d.Kind == KindWatchdog {
		return "This alert always fires: it shows that alerts get from Evenkeel to here"
	}
	if d.Kind == KindTest {
		return "[TEST] This is only a test of the notification target " + d.Target.Name + "; nothing is wrong"
	}
	name := a.SLO
	if a.DisplayName != "" && a.DisplayName != a.SLO {
		name = a.DisplayName + " (" + a.SLO + ")"
	}
	what := " burns its error budget too fast"
	if a.Pair != nil {
		what = " burns its error budget " + number(a.Pair.LongRate) + " times as fast as allowed"
	}
	if a.State == slo.AlertResolved {
		what = " no longer burns its error budget too fast"
		if a.Reason != "" && a.Reason != "BurnRateLow" {
			what = " no longer alerts: " + a.Reason
		}
	}
	return fmt.Sprintf("[%s] %s of service %s%s", a.Severity, name, a.Service, what)
}

// each returns the alerts of a group as if each were delivered alone.
func (d *Delivery) each() []Delivery {
	if d.Group == nil {
		return []Delivery{*d}
	}
	out := make([]Delivery, 0, len(d.Group.Alerts))
	for _, a := range d.Group.Alerts {
		one := *d
		one.Kind, one.Group, one.Alert = KindAlert, nil, a
		out = append(out, one)
	}
	return out
}

// groupSummary is one line about several alerts, for example "[FIRING:2, RESOLVED:1] service=checkout".
func groupSummary(d *Delivery) string {
	n := map[string]int{}
	for i := range d.Group.Alerts {
		n[d.Group.Alerts[i].State]++
	}
	var counts []string
	for _, state := range []string{slo.AlertFiring, slo.AlertResolved} {
		if n[state] > 0 {
			counts = append(counts, strings.ToUpper(state)+":"+strconv.Itoa(n[state]))
		}
	}
	var by []string
	for _, k := range sortedNames(d.Group.Labels) {
		by = append(by, k+"="+d.Group.Labels[k])
	}
	text := "[" + strings.Join(counts, ", ") + "] " + strings.Join(by, ", ")
	if d.Group.Truncated > 0 {
		text += fmt.Sprintf(" and %d more", d.Group.Truncated)
	}
	return text
}

// description is a few sentences with the numbers.
func description(d *Delivery) string {
	a := &d.Alert
	if d.Kind == KindWatchdog {
		w := d.Watchdog
		return fmt.Sprintf("If it stops, alerts are not getting through. Alerts that fire: %d. Notifications on their way: %d. Notifications given up: %d.", w.Firing, w.Pending, w.DeadLetters)
	}
	if d.Kind == KindTest {
		return fmt.Sprintf("%s asked for it at %s, to see whether alerts get from Evenkeel to here. They do. There is nothing to do.", d.Author, a.StartsAt)
	}
	parts := []string{fmt.Sprintf("Objective %s over %s.", percent(a.Objective), a.Window.Duration)}
	if p := a.Pair; p != nil {
		parts = append(parts, fmt.Sprintf("Burn rate %s over %s and %s over %s; the alert's limit is %s.", number(p.LongRate), p.Long, number(p.ShortRate), p.Short, p.Factor))
	}
	parts = append(parts, budget(a))
	if a.State == slo.AlertResolved && a.EndsAt != "" {
		parts = append(parts, "It fired from "+a.StartsAt+" to "+a.EndsAt+".")
	} else {
		parts = append(parts, "It fires since "+a.StartsAt+".")
	}
	return strings.Join(parts, " ")
}

// budget is the line about what is left of the error budget.
func budget(a *slo.AlertEvent) string {
	b := &a.Budget
	if b.RemainingRatio == nil {
		return "No error budget could be told."
	}
	return fmt.Sprintf("Error budget left: %s%% (%s of %s bad events).", number(*b.RemainingRatio*100), number(b.Remaining), number(b.Total))
}

// percent writes a share as a percentage without losing a digit.
func percent(d slo.Decimal) string {
	r := new(big.Rat).Mul(d.Rat(), big.NewRat(100, 1))
	s := r.FloatString(30)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

// number writes a number for people: at least three digits, none lost before the point.
func number(v float64) string {
	s := strconv.FormatFloat(v, 'g', 3, 64)
	if strings.ContainsAny(s, "e") || v >= 1000 || v <= -1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return s
}

// cut shortens s to at most n characters, saying so.
func cut(s string, n int) string {
	rs := []rune(s)
	if len(rs) <= n {
		return s
	}
	return string(rs[:n-1]) + "…"
}
