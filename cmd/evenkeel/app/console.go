package app

import (
	"context"
	"io"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/console"
	"evenkeel.dev/ingest/history"
)

// openConsole joins the HTTP side to what the roles have made.
func (a *app) openConsole(context.Context) error {
	c := console.Config{
		Authority: a.access.authority, Logger: a.logger, Ready: a.ready, Metrics: a.metrics, Version: Version(), Now: now,
		MetricsAuth: a.settings.MetricsAuth, Pprof: a.settings.Pprof, Ending: a.ending,
	}
	if a.settings.Has(RoleAPI) {
		c.Statuses, c.Definitions, c.Deliveries = a.statuses, a.definitions, a.deliveries
		c.Mesh = a.meshes
		c.Silences, c.TargetTests = silences{a.deliveries}, targetTests{a.deliveries}
		c.Backfills, c.Records, c.Reports = backfills{a.log}, records{a.log}, reports{a.log, a.statuses}
		c.Clusters = clusters{a}
		c.Events, c.Schema, c.Repairs, c.Backups = events{a.log}, EventSchema, repairs{a.log}, backups{a.log}
	}
	if a.intake != nil {
		c.Write, c.OTLP, c.Targets = a.intake.write, a.intake.otlp, a.intake.targets
	}
	var err error
	a.console, err = console.New(c)
	return err
}

// events implements [console.Events] on the log.
type events struct{ log *jetstream.Log }

// Events implements [console.Events].
func (e events) Events(ctx context.Context, from console.EventsFrom, fn func(console.Event) error) error {
	return e.log.Events(ctx, jetstream.EventsFrom{Seq: from.Seq, Time: from.Time, Stop: from.Stop}, "", func(ev jetstream.Event) error {
		return fn(console.Event{Seq: ev.Seq, Subject: ev.Subject, Header: ev.Header, Data: ev.Data})
	})
}

// records implements [console.Records] on the log.
type records struct{ log *jetstream.Log }

// Records implements [console.Records].
func (r records) Records(ctx context.Context, from, to bus.Time, w io.Writer) error {
	seq, err := r.log.SeqAt(ctx, from)
	if err != nil {
		return err
	}
	in, err := r.log.Open(ctx, seq)
	if err != nil {
		return err
	}
	defer in.Close()
	out := history.NewLogWriter(w)
	for {
		m, err := in.Next(ctx, false)
		if err != nil {
			return err
		}
		if m == nil || m.Time >= to {
			return out.Close()
		}
		if strings.HasPrefix(m.Subject, bus.SubjectFrame) || m.Subject == bus.SubjectTick || m.Subject == bus.SubjectGap {
			if err := out.Write(m); err != nil {
				return err
			}
		}
	}
}

// backups implements [console.Backups] on the log.
type backups struct{ log *jetstream.Log }

// Backup implements [console.Backups].
func (b backups) Backup(ctx context.Context, w io.Writer) error { return b.log.Backup(ctx, w) }
