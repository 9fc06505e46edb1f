package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/console"
	"evenkeel.dev/slo"
)

// Waits of a backfill: for the SLOs that were applied a moment ago, and for history to be counted.
const (
	appearWait = 30 * time.Second
	countWait  = time.Minute
	backPoll   = 250 * time.Millisecond
)

// backfill gives the SLOs that were applied what they would have counted before.
func (c *cli) backfill(ctx context.Context, f *applyFlags) error {
	if slices.Contains(f.files, "-") {
		return wrongUsage("--backfill reads the files a second time, which the input cannot be; write it into a file")
	}
	sets, err := c.replaySets(f.files, nil)
	if err != nil {
		return err
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	began, err := api.countedFrom(ctx, sets[0])
	if errors.Is(err, app.ErrNoObjective) {
		return answerNo("%v", err)
	}
	if err != nil {
		return err
	}
	f.history.from, f.history.output = f.from, "table"
	shown := newProgress(c.err, "auto", "table")
	in, err := c.openHistory(&f.history, shown)
	if err != nil {
		return err
	}
	until, span := bus.Time(0), slo.Duration(0)
	for i := range began {
		until, span = max(until, began[i].from.Time()), max(span, began[i].window)
	}
	from := bus.TimeOf(time.Now()) - span.Time()
	if f.since != "" {
		if from, err = moment("--since", f.since, time.Now()); err != nil {
			return err
		}
	}
	from, until = from/bus.Minute*bus.Minute, until/bus.Minute*bus.Minute
	switch {
	case until-from > longestReplay:
		return wrongUsage("history from %s to %s is longer than 400 days", from, until)
	case until-from < bus.Minute:
		fmt.Fprintf(c.out, "All of it is counted from %s already\n", until)
		return nil
	}
	past, err := app.History(ctx, app.ReplayConfig{Definitions: sets, Source: in.source, Log: in.log, From: from, Until: until, Step: until - from,
		Progress: func(at bus.Time, samples uint64) { shown.at(float64(at-from)/float64(until-from), samples) }})
	shown.end()
	if err != nil {
		return err
	}
	for i := range past {
		if err := c.sendPast(ctx, api, &past[i], int64(from/bus.Minute), f.from); err != nil {
			return err
		}
	}
	return nil
}

// A beginning is from when on an SLO counts.
type beginning struct {
	from   slo.Moment
	window slo.Duration
}

// status asks for one SLO.
func (api *client) status(ctx context.Context, o *slo.Objective) (console.SLO, error) {
	var s console.SLO
	err := api.get(ctx, "/api/v1/slos/"+escape(o.GlobalNamespace, o.Service, o.Name), nil, &s)
	return s, err
}

// countedFrom waits until all SLOs of a set are there, and says from when on each counts.
func (api *client) countedFrom(ctx context.Context, set app.ReplayDefinitions) ([]beginning, error) {
	os, err := app.Objectives(set)
	if err != nil {
		return nil, err
	}
	var out []beginning
	for i := range os {
		if os[i].Composite != nil {
			continue
		}
		var s console.SLO
		err := until(ctx, appearWait, func() (bool, error) {
			var err error
			s, err = api.status(ctx, &os[i])
			return err == nil && s.CountedFrom != 0, notYet(err)
		})
		if err != nil {
			return nil, fmt.Errorf("SLO %s/%s/%s: %w", os[i].GlobalNamespace, os[i].Service, os[i].Name, err)
		}
		out = append(out, beginning{s.CountedFrom, os[i].Window.Duration})
	}
	if len(out) == 0 {
		return nil, app.ErrNoObjective
	}
	return out, nil
}

// sendPast sends an SLO's history in parts of a day, the newest first, and waits until it is counted.
func (c *cli) sendPast(ctx context.Context, api *client, p *app.Past, from int64, source string) error {
	o := &p.Objective
	name := fmt.Sprintf("%s/%s/%s", o.GlobalNamespace, o.Service, o.Name)
	s, err := api.status(ctx, o)
	if err != nil {
		return err
	}
	upTo := int64(s.CountedFrom.Time() / bus.Minute)
	if upTo <= from {
		fmt.Fprintf(c.out, "%s counts from %s already\n", name, s.CountedFrom)
		return nil
	}
	var sum slo.Events
	minutes := 0
	for at := upTo; at > from; {
		b := slo.Backfill{Counts: o.Counts(), Source: source, From: max(from, at-slo.BackfillMinutes), Until: at}
		for _, m := range p.Minutes {
			if m.Minute >= b.From && m.Minute < b.Until {
				b.Minutes = append(b.Minutes, m)
				sum.Good, sum.Total = sum.Good+m.Good, sum.Total+m.Total
				minutes++
			}
		}
		body, err := json.Marshal(b)
		if err != nil {
			return err
		}
		var taken json.RawMessage
		path := "/api/v1/slos/" + escape(o.GlobalNamespace, o.Service, o.Name) + "/backfill"
		if err := api.call(ctx, http.MethodPost, path, nil, "application/json", body, &taken); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		at = b.From
	}
	err = until(ctx, countWait, func() (bool, error) {
		s, err = api.status(ctx, o)
		return err == nil && int64(s.CountedFrom.Time()/bus.Minute) <= from, notYet(err)
	})
	if err != nil {
		return fmt.Errorf("%s: its history was sent and is not counted; did the SLO change meanwhile? %w", name, err)
	}
	fmt.Fprintf(c.out, "%s counts from %s: %s of %s good in %s of history\n", name, s.CountedFrom, countText(sum.Good), countText(sum.Total), plural(minutes, "minute"))
	return nil
}

func countText(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// notYet lets an SLO that is not there yet be asked for again.
func notYet(err error) error {
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

// until asks again and again until it is so.
func until(ctx context.Context, most time.Duration, so func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	t := time.NewTicker(backPoll)
	defer t.Stop()
	for {
		if ok, err := so(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s", most)
		case <-t.C:
		}
	}
}
