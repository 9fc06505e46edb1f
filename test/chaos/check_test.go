//go:build peers

package chaos

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/test/peer"
)

// exact returns nil when the process knows, of every service, the sender's integers.
func exact(e *peer.Evenkeel, want map[string]count) error {
	got, err := e.Statuses()
	if err != nil {
		return err
	}
	var wrong []string
	for s, w := range want {
		st, ok := got[key(s)]
		if !ok {
			wrong = append(wrong, s+": no status")
			continue
		}
		if st.Events.Good != float64(w.good) || st.Events.Total != float64(w.total) {
			wrong = append(wrong, fmt.Sprintf("%s: good %.0f total %.0f, the sender counted %d and %d (%s %s)", s, st.Events.Good, st.Events.Total, w.good, w.total, st.State, st.Reason))
		}
	}
	if wrong != nil {
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}

// known returns nil when every service has a state that is not UNKNOWN.
func known(e *peer.Evenkeel, names []string) error {
	got, err := e.Statuses()
	if err != nil {
		return err
	}
	for _, s := range names {
		if st := got[key(s)]; st.State == "" || st.State == "UNKNOWN" {
			return fmt.Errorf("%s is %q (%s)", s, st.State, st.Reason)
		}
	}
	return nil
}

// fresh returns nil when the process knows of every service at least these counts: what was sent before has arrived.
func fresh(e *peer.Evenkeel, atLeast map[string]count) error {
	got, err := e.Statuses()
	if err != nil {
		return err
	}
	for s, w := range atLeast {
		st, ok := got[key(s)]
		if !ok {
			return fmt.Errorf("%s: no status", s)
		}
		if st.Events.Total < float64(w.total) {
			return fmt.Errorf("%s: total %.0f, at least %d were sent", s, st.Events.Total, w.total)
		}
	}
	return nil
}

// runsAll returns nil when the process itself runs every partition of every stage and is at the end of the log with each.
func runsAll(e *peer.Evenkeel) error {
	got, err := e.Metrics()
	if err != nil {
		return err
	}
	for stage, n := range map[string]int{"catalogue": 1, "notify": 1, "slo": 16, "composite": 1} {
		for p := range n {
			labels := fmt.Sprintf("{stage=%q,partition=\"%d\"}", stage, p)
			if got["evenkeel_partition_running"+labels] != 1 || got["evenkeel_partition_lag_seconds"+labels] > 2 {
				return fmt.Errorf("it does not run partition %d of stage %s, or is %v s behind with it", p, stage, got["evenkeel_partition_lag_seconds"+labels])
			}
		}
	}
	return nil
}

// An alert is one change of an alert as EVENTS keeps it.
type alert struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	Tier    string `json:"tier"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// alerts reads all alert events from the beginning through the command line, as a person would.
func alerts(tb testing.TB, e *peer.Evenkeel) []alert {
	tb.Helper()
	out, errs, code := e.Run("events", "--type", "slo.alert", "--from", "1", "--follow=false", "-o", "json")
	if code != 0 {
		tb.Fatalf("evenkeel events: exit code %d\n%s", code, errs)
	}
	var all []alert
	for line := range strings.Lines(out) {
		var ev struct {
			ID, Type string
			Data     alert
		}
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			tb.Fatalf("a line of evenkeel events: %v\n%s", err, line)
		}
		all = append(all, ev.Data)
	}
	return all
}

// eventsLate is how late public events may be after the death of LOG's leader: the server looks every 10 s whether a source has been
// silent for 10 s, and asks it again.
const eventsLate = 45 * time.Second

// published returns nil when EVENTS has taken all that LOG has for it.
func published(e *peer.Evenkeel) error {
	got, err := e.Metrics()
	if err != nil {
		return err
	}
	lag, silent := got["evenkeel_log_events_lag"], got["evenkeel_log_events_silent_seconds"]
	if lag > 0 || silent > 4 {
		return fmt.Errorf("EVENTS is %v messages behind and has heard nothing for %v s", lag, silent)
	}
	return nil
}

// once demands that each service in burning fired each tier once, and nobody else anything.
func once(tb testing.TB, e *peer.Evenkeel, burning []string) {
	tb.Helper()
	peer.Until(tb, eventsLate, "EVENTS has all events", func() error { return published(e) })
	fired := map[string]int{}
	for _, a := range alerts(tb, e) {
		if a.Tier == "watchdog" || a.State == "pending" || a.State == "inactive" {
			continue
		}
		fired[a.Service+" "+a.Tier+" "+a.State]++
	}
	for _, s := range burning {
		for _, tier := range []string{"page", "ticket"} {
			change := s + " " + tier + " firing"
			if fired[change] != 1 {
				tb.Errorf("alert %s: %d times, want once", change, fired[change])
			}
			delete(fired, change)
		}
	}
	for change, n := range fired {
		tb.Errorf("alert %s: %d times, want none", change, n)
	}
}

// settled waits until the process knows the exact counts, and then looks at everything else.
func settled(tb testing.TB, e *peer.Evenkeel, want map[string]count, burning []string) {
	tb.Helper()
	peer.Until(tb, time.Minute, "good and total equal the sender's integers", func() error { return exact(e, want) })
	var names []string
	for s := range want {
		names = append(names, s)
	}
	peer.Until(tb, time.Minute, "every state is known", func() error { return known(e, names) })
	once(tb, e, burning)
	if err := exact(e, want); err != nil {
		tb.Errorf("the counts moved although nothing was sent: %v", err)
	}
}
