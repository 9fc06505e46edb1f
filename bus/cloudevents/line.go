package cloudevents

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// lineMax bounds a line, in bytes: data of a type that is not known here may be of any size.
const lineMax = 400

// Line writes an event as one line for people: when, what kind, about what, what happened. What comes from data is cut free of
// control characters, so that an event can do nothing to a terminal. An event that cannot be read is shown as it is.
func Line(e *Event) string {
	text := ""
	switch e.Type {
	case "dev.evenkeel.slo.alert.v1":
		text = words(e, alertLine)
	case "dev.evenkeel.slo.status.v1":
		text = words(e, statusLine)
	case "dev.evenkeel.slo.correction.v1":
		text = words(e, correctionLine)
	case "dev.evenkeel.mesh.definition.v1":
		text = words(e, definitionLine)
	case "dev.evenkeel.mesh.cluster.v1":
		text = words(e, clusterLine)
	case "dev.evenkeel.mesh.node.v1":
		text = words(e, nodeLine)
	case "dev.evenkeel.mesh.service.v1":
		text = words(e, serviceLine)
	case "dev.evenkeel.mesh.instance.v1":
		text = words(e, instanceLine)
	case "dev.evenkeel.mesh.member.v1":
		text = words(e, memberLine)
	case "dev.evenkeel.mesh.group.v1":
		text = words(e, groupLine)
	case "dev.evenkeel.mesh.enrolment.v1":
		text = words(e, enrolmentLine)
	case "dev.evenkeel.mesh.call.v1":
		text = words(e, callLine)
	case "dev.evenkeel.notify.dead.v1":
		text = words(e, deadLine)
	case "dev.evenkeel.notify.watchdog.v1":
		text = words(e, watchdogLine)
	case "dev.evenkeel.notify.silence.v1":
		text = words(e, silenceLine)
	}
	if text == "" {
		var b bytes.Buffer
		if text = string(e.Data); json.Compact(&b, e.Data) == nil {
			text = b.String()
		}
	}
	kind := strings.TrimPrefix(e.Type, "dev.evenkeel.")
	if i := strings.LastIndex(kind, ".v"); i > 0 {
		kind = kind[:i]
	}
	return clean(fmt.Sprintf("%s  %-15s  %s  %s", e.Time, kind, e.Subject, text))
}

// clean replaces what is not printable and cuts the line.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
	if len(s) <= lineMax {
		return s
	}
	return strings.ToValidUTF8(s[:lineMax], "") + "…"
}

// words decodes the data as T and says it; "" when it cannot be decoded.
func words[T any](e *Event, say func(*T) string) string {
	var v T
	if json.Unmarshal(e.Data, &v) != nil {
		return ""
	}
	return say(&v)
}

type budgetData struct {
	RemainingRatio *float64 `json:"remainingRatio"`
}

func (b budgetData) String() string {
	if b.RemainingRatio == nil {
		return "budget unknown"
	}
	return "budget left " + number(*b.RemainingRatio*100) + "%"
}

type alertData struct {
	Tier   string     `json:"tier"`
	State  string     `json:"state"`
	Reason string     `json:"reason"`
	Budget budgetData `json:"budget"`
	Pair   *struct {
		Long      string  `json:"long"`
		Short     string  `json:"short"`
		Factor    string  `json:"factor"`
		LongRate  float64 `json:"longRate"`
		ShortRate float64 `json:"shortRate"`
	} `json:"pair"`
}

func alertLine(d *alertData) string {
	text := fmt.Sprintf("%s alert %s (%s)", d.Tier, d.State, d.Reason)
	if p := d.Pair; p != nil {
		text += fmt.Sprintf(", burn rate %s over %s and %s over %s, limit %s", number(p.LongRate), p.Long, number(p.ShortRate), p.Short, p.Factor)
	}
	return text + ", " + d.Budget.String()
}

type statusData struct {
	Previous string     `json:"previous"`
	State    string     `json:"state"`
	Reason   string     `json:"reason"`
	SLI      *string    `json:"sli"`
	Budget   budgetData `json:"budget"`
}

func statusLine(d *statusData) string {
	text := d.State
	if d.Previous != "" && d.Previous != d.State {
		text = d.Previous + " -> " + d.State
	}
	text += " (" + d.Reason + ")"
	if d.SLI != nil {
		text += ", SLI " + *d.SLI
	}
	return text + ", " + d.Budget.String()
}

type correctionData struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Before  struct {
		Budget budgetData `json:"budget"`
	} `json:"before"`
	After struct {
		Budget budgetData `json:"budget"`
	} `json:"after"`
	Alerts []struct {
		Tier  string `json:"tier"`
		At    string `json:"at"`
		Fired bool   `json:"fired"`
	} `json:"alerts"`
}

func correctionLine(d *correctionData) string {
	text := fmt.Sprintf("%s (%s), %s, before: %s", d.Message, d.Reason, d.After.Budget, d.Before.Budget)
	for _, a := range d.Alerts {
		if a.Fired {
			text += fmt.Sprintf("; the %s alert of %s would not have fired", a.Tier, a.At)
		} else {
			text += fmt.Sprintf("; a %s alert would have fired at %s", a.Tier, a.At)
		}
	}
	return text
}

type definitionData struct {
	Action string `json:"action"`
	Ref    struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Namespace  string `json:"namespace"`
		Name       string `json:"name"`
	} `json:"ref"`
	Revision  uint64 `json:"revision"`
	Author    string `json:"author"`
	ManagedBy string `json:"managedBy"`
}

func definitionLine(d *definitionData) string {
	return fmt.Sprintf("%s %s/%s %s by %s (%s), revision %d", d.Ref.Kind, d.Ref.Namespace, d.Ref.Name, d.Action, d.Author, d.ManagedBy, d.Revision)
}

type deadData struct {
	ID       string `json:"id"`
	Target   string `json:"target"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	Attempts int    `json:"attempts"`
	State    string `json:"state"`
	Tier     string `json:"tier"`
}

func deadLine(d *deadData) string {
	if d.Target == "" {
		return fmt.Sprintf("%s alert %s was told to NOBODY (%s: %s); id %s", d.Tier, d.State, d.Reason, d.Message, d.ID)
	}
	to := "target " + d.Target
	return fmt.Sprintf("%s alert %s was NOT told to %s (%s: %s) after %d attempts; id %s", d.Tier, d.State, to, d.Reason, d.Message, d.Attempts, d.ID)
}

type watchdogData struct {
	Targets     int `json:"targets"`
	Firing      int `json:"firing"`
	Pending     int `json:"pending"`
	DeadLetters int `json:"deadLetters"`
}

func watchdogLine(d *watchdogData) string {
	return fmt.Sprintf("alerts are handled: %d firing, %d notifications pending, %d given up, %d targets", d.Firing, d.Pending, d.DeadLetters, d.Targets)
}

type silenceData struct {
	Action    string `json:"action"`
	SLO       string `json:"slo"`
	Tier      string `json:"tier"`
	Reason    string `json:"reason"`
	Author    string `json:"author"`
	EndsAt    string `json:"endsAt"`
	ExpiredBy string `json:"expiredBy"`
}

func silenceLine(d *silenceData) string {
	what := "all SLOs"
	if d.SLO != "" {
		what = "SLO " + d.SLO
	}
	if d.Tier != "" {
		what += ", tier " + d.Tier
	}
	switch {
	case d.Action == "created":
		return fmt.Sprintf("%s silenced by %s until %s: %s", what, d.Author, d.EndsAt, d.Reason)
	case d.ExpiredBy != "":
		return fmt.Sprintf("silence of %s by %s was ended by %s: %s", what, d.Author, d.ExpiredBy, d.Reason)
	}
	return fmt.Sprintf("silence of %s by %s is over: %s", what, d.Author, d.Reason)
}

// number writes a number for people with about three digits.
func number(v float64) string {
	if v >= 1000 || v <= -1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
