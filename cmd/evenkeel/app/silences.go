package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/console"
	"evenkeel.dev/slo/notify"
)

// silences implements [console.Silences] on the copy of the notify stage.
type silences struct{ *deliveries }

const silenceIDLen = 16 // characters of a random text: 80 bits

// List implements [console.Silences].
func (s silences) List(ctx context.Context) ([]console.Silence, error) {
	v, err := s.view(ctx, 0)
	if err != nil {
		return nil, err
	}
	out := make([]console.Silence, 0, len(v.Silences))
	for i := range v.Silences {
		out = append(out, silence(&v.Silences[i]))
	}
	return out, nil
}

func silence(x *notify.Silence) console.Silence {
	return console.Silence{
		ID: x.ID, GlobalNamespace: x.GlobalNamespace, Service: x.Service, SLO: x.SLO, Tier: x.Tier, Reason: x.Reason, Author: x.Author,
		StartsAt: timeText(x.StartsAt), EndsAt: timeText(x.EndsAt),
	}
}

// Add implements [console.Silences].
func (s silences) Add(ctx context.Context, q console.SilenceRequest, by console.Identity) (console.Silence, error) {
	r := notify.SilenceRequest{
		Action: notify.SilenceAdd, ID: strings.ToLower(rand.Text())[:silenceIDLen], GlobalNamespace: q.GlobalNamespace, Service: q.Service, SLO: q.SLO, Tier: q.Tier,
		For: q.For.Time(), Reason: q.Reason, Author: by.Name,
	}
	if err := r.Validate(); err != nil {
		return console.Silence{}, console.Fail(http.StatusUnprocessableEntity, "Invalid", err.Error(), nil)
	}
	v, err := s.ask(ctx, notify.SubjectSilenceRequest, r)
	if err != nil {
		return console.Silence{}, err
	}
	for i := range v.Silences {
		if v.Silences[i].ID == r.ID {
			return silence(&v.Silences[i]), nil
		}
	}
	return console.Silence{}, console.Fail(http.StatusConflict, "TooMany", fmt.Sprintf("%d silences hold, and no more are taken in global namespace %s; expire some", len(v.Silences), r.GlobalNamespace), nil)
}

// Expire implements [console.Silences].
func (s silences) Expire(ctx context.Context, id string, by console.Identity) error {
	_, err := s.ask(ctx, notify.SubjectSilenceRequest, notify.SilenceRequest{Action: notify.SilenceExpire, ID: id, Author: by.Name})
	return err
}

// targetTests implements [console.TargetTests] on the copy of the notify stage.
type targetTests struct{ *deliveries }

// testTimeout is for one test: above the sender's own timeouts, below the minute after which clients give up.
const testTimeout = mailTimeout + 10*time.Second

// Find implements [console.TargetTests].
func (t targetTests) Find(ctx context.Context, namespace, name string) (console.NotificationTarget, bool, error) {
	v, err := t.view(ctx, t.last()) // a target that was applied a moment ago is there
	if err != nil {
		return console.NotificationTarget{}, false, err
	}
	for _, x := range v.Targets {
		if x.Namespace == namespace && x.Name == name {
			return console.NotificationTarget{Key: x.Key, Namespace: x.Namespace, Name: x.Name, Type: x.Type, GlobalNamespace: x.GlobalNamespace}, true, nil
		}
	}
	return console.NotificationTarget{}, false, nil
}

// Test implements [console.TargetTests]: the wish goes into the log, and the copy shows when the result has come back through it.
func (t targetTests) Test(ctx context.Context, target console.NotificationTarget, by console.Identity) (console.TargetTest, error) {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	r := notify.TrialRequest{ID: notify.NewTrialID(rand.Text()), Target: target.Key, Author: by.Name}
	out := console.TargetTest{ID: r.ID, Target: target.Name, Type: target.Type}
	v, err := t.ask(ctx, notify.SubjectTrialRequest, r)
	for err == nil {
		for _, x := range v.Trials {
			switch {
			case x.ID != r.ID || x.Outcome == "":
			case x.Outcome == notify.OutcomeRefused:
				return out, console.Fail(http.StatusConflict, "Refused", x.Message, nil)
			default:
				out.Outcome, out.Status, out.Message = x.Outcome, x.Status, x.Message
				return out, nil
			}
		}
		v, err = t.view(ctx, 0) // it answers at the next record
	}
	if ctx.Err() != nil {
		return out, console.Fail(http.StatusGatewayTimeout, "NoAnswer", "nobody has said in time what came of the test; is there a process with the role notify?", nil)
	}
	return out, err
}

// ask appends a wish and returns what the stage knows once it has read it.
func (d *deliveries) ask(ctx context.Context, subject string, wish any) (notify.View, error) {
	b, err := json.Marshal(wish)
	if err != nil {
		return notify.View{}, fmt.Errorf("encode %s: %w", subject, err)
	}
	seq, err := d.log.Append(ctx, bus.Message{Subject: subject, Data: b})
	if err != nil {
		return notify.View{}, fmt.Errorf("append %s: %w", subject, err)
	}
	return d.view(ctx, seq)
}
