package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/console"
	"evenkeel.dev/slo/notify"
)

// deliveries is this process's copy of the notify stage. It implements [console.Deliveries].
type deliveries struct {
	log   bus.Log
	last  func() uint64 // highest sequence of the log that this process knows of
	asks  chan viewAsk
	stats atomic.Pointer[notify.Stats] // nil until the copy is current
}

// A viewAsk wants to know what the stage knows once it has read the log up to a sequence.
type viewAsk struct {
	after uint64
	to    chan notify.View // has room for one
}

const (
	pendingMax  = 10_000          // deliveries in one answer; the stage may have more
	copyTimeout = 5 * time.Second // the copy answers at its next record, and there is a tick a second
	asksMax     = 1000            // that wait for their record; one more waits to be heard
)

func newDeliveries(log bus.Log, last func() uint64) *deliveries {
	return &deliveries{log: log, last: last, asks: make(chan viewAsk)}
}

// follow keeps the copy until ctx ends or the log cannot be read.
func (d *deliveries) follow(ctx context.Context) error {
	current := false
	var waiting []viewAsk
	return bus.Follow(ctx, d.log, notify.Spec(notify.Config{}), 0, func(s bus.Stage, p bus.Progress, atEnd bool) error {
		st, ok := s.(*notify.Stage)
		if !ok {
			return fmt.Errorf("the notify stage is a %T", s)
		}
		if current = current || atEnd; !current {
			return nil
		}
		stats := st.Stats()
		d.stats.Store(&stats)
		for heard := true; heard && len(waiting) < asksMax; {
			select {
			case a := <-d.asks:
				waiting = append(waiting, a)
			default:
				heard = false
			}
		}
		waiting = answerAsks(waiting, p.Seq, st)
		return nil
	})
}

// answerAsks answers those whose record has been read, and returns the others.
func answerAsks(waiting []viewAsk, seq uint64, st *notify.Stage) []viewAsk {
	var v *notify.View
	return slices.DeleteFunc(waiting, func(a viewAsk) bool {
		if seq < a.after {
			return false
		}
		if v == nil {
			now := st.View(pendingMax)
			v = &now
		}
		a.to <- *v
		return true
	})
}

// view asks the copy, which must have read the log up to a sequence.
func (d *deliveries) view(ctx context.Context, after uint64) (notify.View, error) {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	a := viewAsk{after, make(chan notify.View, 1)}
	select {
	case d.asks <- a:
	case <-ctx.Done():
		return notify.View{}, errNoCopy()
	}
	select {
	case v := <-a.to:
		return v, nil
	case <-ctx.Done():
		return notify.View{}, errNoCopy()
	}
}

func errNoCopy() error {
	return console.Fail(http.StatusServiceUnavailable, "NotReady", "the notify stage cannot be read now; look at /readyz", nil)
}

// List implements [console.Deliveries].
func (d *deliveries) List(ctx context.Context) ([]console.Delivery, error) {
	v, err := d.view(ctx, 0)
	if err != nil {
		return nil, err
	}
	out := make([]console.Delivery, 0, len(v.Pending)+len(v.Held)+len(v.DeadLetters))
	for _, p := range slices.Concat(v.Pending, v.Held) { // the view is shared with other askers
		state := "pending"
		if p.Held != "" {
			state = "held"
		}
		out = append(out, console.Delivery{
			ID: p.ID, Target: p.Target, Type: p.Type, State: state, Reason: p.Held, Silence: p.Silence, Message: p.Message, Attempts: p.Attempt, Since: p.StartsAt,
			Next: timeText(p.Due), Alert: p.State, GlobalNamespace: p.GlobalNamespace, Service: p.Service, SLO: p.SLO, Tier: p.Tier,
		})
	}
	for i := range v.DeadLetters {
		l := &v.DeadLetters[i]
		out = append(out, console.Delivery{
			ID: l.ID, Target: l.TargetName, Type: l.TargetType, State: "dead", Reason: l.Reason, Message: l.Message, Status: l.Status, Attempts: l.Attempts,
			Since: timeText(l.At), Alert: l.State, GlobalNamespace: l.Alert.GlobalNamespace, Service: l.Alert.Service, SLO: l.Alert.SLO, Tier: l.Alert.Tier,
		})
	}
	return out, nil
}

func timeText(t bus.Time) string {
	if t == 0 {
		return ""
	}
	return t.String()
}

// Resend implements [console.Deliveries].
func (d *deliveries) Resend(ctx context.Context, ids []string, by console.Identity) error {
	b, err := json.Marshal(notify.Resend{IDs: ids, Author: by.Name})
	if err != nil {
		return fmt.Errorf("encode resend: %w", err)
	}
	if _, err := d.log.Append(ctx, bus.Message{Subject: notify.SubjectResend, Data: b}); err != nil {
		return fmt.Errorf("append resend: %w", err)
	}
	return nil
}
