package app

import (
	"context"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/report"
)

// reports implements [console.Reports] on the log.
type reports struct {
	log      *jetstream.Log
	statuses *slo.View
}

// clockSlack is by how much the clock of a sender may be ahead of the log's.
const clockSlack = 5 * bus.Minute

// Report implements [console.Reports]. What cannot be read is left out and told.
func (r reports) Report(ctx context.Context, span report.Span, keeps func(slo.StatusKey) bool) (*report.Period, error) {
	kept, err := r.log.Kept(ctx)
	if err != nil {
		return nil, err
	}
	m, unread := report.NewMinutes(span, keeps), 0
	damaged, err := r.log.Ledger(ctx, span.Before-clockSlack, span.Until+report.LateMax, func(data []byte) error {
		f, err := slo.DecodeLedgerFrame(data)
		if err != nil {
			unread++
			return nil
		}
		return m.Take(f)
	})
	if err != nil {
		return nil, err
	}
	err = r.log.Events(ctx, jetstream.EventsFrom{Time: span.From, Stop: true}, "evenkeel.slo.>", func(e jetstream.Event) error {
		if m.Event(e.Header.Get("ce-type"), e.Data) != nil {
			unread++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	items := r.statuses.List()
	present := make([]slo.Status, len(items))
	for i := range items {
		present[i] = items[i].Status
	}
	return m.Report(present, report.Past{Ledger: kept.Ledger, Events: kept.Events, Damaged: damaged + unread}), nil
}
