package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/console"
	"evenkeel.dev/slo"
)

// backfills implements [console.Backfills] on the log.
type backfills struct{ log *jetstream.Log }

// Backfill implements [console.Backfills].
func (b backfills) Backfill(ctx context.Context, part slo.Backfill, _ console.Identity) error {
	data, err := json.Marshal(part)
	if err != nil {
		return err
	}
	if _, err := b.log.Append(ctx, bus.Message{Subject: slo.SubjectBackfill, Data: data}); err != nil {
		return fmt.Errorf("append history of %s/%s/%s: %w", part.GlobalNamespace, part.Service, part.SLO, err)
	}
	return nil
}

// A Past is what one SLO would have counted in history, minute by minute.
type Past struct {
	Objective slo.Objective
	Minutes   []slo.PastMinute // ascending
}

// Objectives returns the SLOs of a set of definitions.
func Objectives(d ReplayDefinitions) ([]slo.Objective, error) {
	var out []slo.Objective
	for i := range d.Set {
		os, err := objectivesOf(&d.Set[i])
		if err != nil {
			return nil, err
		}
		out = append(out, os...)
	}
	return out, nil
}

// History replays the first set of definitions and returns what each of its SLOs counted. Composites are left out: their members are what
// counts.
func History(ctx context.Context, c ReplayConfig) ([]Past, error) {
	c.Definitions = c.Definitions[:1]
	byKey := map[slo.StatusKey]*Past{}
	var order []slo.StatusKey
	r, err := newReplay(c)
	if err != nil {
		return nil, err
	}
	for _, o := range r.lanes[0].objectives {
		key := slo.StatusKey{GlobalNamespace: o.GlobalNamespace, Service: o.Service, Name: o.Name}
		if o.Composite == nil && byKey[key] == nil {
			byKey[key] = &Past{Objective: o}
			order = append(order, key)
		}
	}
	r.lanes[0].ledger = func(f *slo.LedgerFrame) {
		for _, e := range f.Entries {
			if p := byKey[e.StatusKey]; p != nil {
				p.Minutes = append(p.Minutes, slo.PastMinute{Minute: int64(f.Minute / bus.Minute), Good: e.Good + e.LateGood, Total: e.Total + e.LateTotal, Covered: min(e.Covered, slo.CoveredMax)})
			}
		}
	}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	out := make([]Past, 0, len(order))
	for _, key := range order {
		out = append(out, *byKey[key])
	}
	return out, nil
}

// takeLedger hands minutes of the ledger on.
func (l *lane) takeLedger(d *bus.Draft) error {
	if l.ledger == nil || !strings.HasPrefix(d.Subject, slo.SubjectLedgerFrame) {
		return nil
	}
	f, err := slo.DecodeLedgerFrame(d.Data)
	if err == nil {
		l.ledger(f)
	}
	return err
}
