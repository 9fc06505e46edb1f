package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/console"
	"evenkeel.dev/slo/notify"
)

// deliveries is this process's copy of the notify stage. It implements [console.Deliveries].
type deliveries struct {
	log  bus.Log
	asks chan chan notify.View
}

const (
	pendingMax  = 10_000          // deliveries in one answer; the stage may have more
	copyTimeout = 5 * time.Second // the copy answers at its next record, and there is a tick a second
)

func newDeliveries(log bus.Log) *deliveries {
	return &deliveries{log: log, asks: make(chan chan notify.View)}
}

// follow keeps the copy until ctx ends or the log cannot be read.
func (d *deliveries) follow(ctx context.Context) error {
	current := false
	return bus.Follow(ctx, d.log, notify.Spec(notify.Config{}), 0, func(s bus.Stage, _ bus.Progress, atEnd bool) error {
		st, ok := s.(*notify.Stage)
		if !ok {
			return fmt.Errorf("the notify stage is a %T", s)
		}
		if current = current || atEnd; !current {
			return nil
		}
		select {
		case to := <-d.asks:
			to <- st.View(pendingMax) // has room for one
		default:
		}
		return nil
	})
}

// view asks the copy.
func (d *deliveries) view(ctx context.Context) (notify.View, error) {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	to := make(chan notify.View, 1)
	select {
	case d.asks <- to:
		return <-to, nil
	case <-ctx.Done():
		return notify.View{}, console.Fail(http.StatusServiceUnavailable, "NotReady", "the notify stage cannot be read now; look at /readyz", nil)
	}
}

// List implements [console.Deliveries].
func (d *deliveries) List(ctx context.Context) ([]console.Delivery, error) {
	v, err := d.view(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]console.Delivery, 0, len(v.Pending)+len(v.DeadLetters))
	for _, p := range v.Pending {
		out = append(out, console.Delivery{
			ID: p.ID, Target: p.Target, Type: p.Type, State: "pending", Message: p.Message, Attempts: p.Attempt, Since: p.StartsAt, Next: timeText(p.Due), Alert: p.State,
			GlobalNamespace: p.GlobalNamespace, Service: p.Service, SLO: p.SLO, Tier: p.Tier,
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
