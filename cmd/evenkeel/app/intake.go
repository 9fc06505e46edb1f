package app

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"evenkeel.dev/ingest/otlp"
	"evenkeel.dev/ingest/remotewrite"
	"evenkeel.dev/ingest/scrape"
	"evenkeel.dev/ingest/watch"
)

// intake is the role ingest: one gate, and the protocols before it.
type intake struct {
	gate  *ingest.Gate
	write *remotewrite.Handler
	otlp  *otlp.Receiver
	jobs  *scrape.Scraper
	calls *watch.Calls // nil: calls are not watched
}

func now() bus.Time { return bus.TimeOf(time.Now()) }

// incarnation returns a random number above 0, which names this writer of frames.
func incarnation() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return max(binary.LittleEndian.Uint64(b[:]), 1)
}

func newIntake(a *app) (*intake, error) {
	s := &a.settings
	c := ingest.Config{Log: a.log, Partitions: bus.DefaultPartitions, Writer: incarnation(), NewWriter: incarnation, Now: now, Limits: s.Limits}
	in := &intake{}
	if s.Calls {
		in.calls = watch.New(watch.Config{Log: a.log, Writer: incarnation(), Limits: s.CallLimits})
		c.Watcher = in.calls
	}
	gate, err := ingest.New(c)
	if err != nil {
		return nil, err
	}
	in.gate = gate
	if in.write, err = remotewrite.New(remotewrite.Config{Gate: gate, Sender: senderOfRequest}); err != nil {
		return nil, err
	}
	in.otlp, err = otlp.New(otlp.Config{
		Gate: gate, Sender: senderOf, Translation: s.OTLP.Translation, PromoteResourceAttributes: s.OTLP.PromoteResourceAttributes,
	})
	if err != nil {
		return nil, err
	}
	in.jobs, err = scrape.New(scrape.Config{Gate: gate, Jobs: s.Scrape, Log: a.logger})
	return in, err
}

// scrape asks targets until ctx ends.
func (in *intake) scrape(ctx context.Context) error { return in.jobs.Run(ctx) }

// Calls are reported so often; a picture that is ten seconds old is young enough.
const (
	callsEvery   = 10 * time.Second
	callsTimeout = 5 * time.Second  // of the last report, when the process ends
	callsAgain   = 30 * time.Minute // after which series that bounds kept out are looked at again
)

// reportCalls appends what was seen of calls, until ctx ends and once more then. What cannot be appended now is offered again by the next report.
func (in *intake) reportCalls(ctx context.Context) error {
	t, again := time.NewTicker(callsEvery), time.NewTicker(callsAgain)
	defer t.Stop()
	defer again.Stop()
	for over := in.calls.Stats().Over; ; {
		select {
		case <-again.C:
			if n := in.calls.Stats().Over; n != over {
				over = n
				in.gate.Reconsider()
			}
		case <-t.C:
			if err := in.calls.Report(ctx, now()); err != nil && ctx.Err() == nil {
				return err // it is told, and begun again after a pause
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), callsTimeout)
			defer cancel()
			return errors.Join(ctx.Err(), in.calls.Report(last, now()))
		}
	}
}

// target is one scrape target as the API answers it.
type target struct {
	Job          string            `json:"job"`
	URL          string            `json:"url"`
	Labels       map[string]string `json:"labels"`
	Health       string            `json:"health"` // up, down, unknown
	LastError    string            `json:"lastError"`
	LastScrape   string            `json:"lastScrape"`
	LastDuration string            `json:"lastDuration"`
	Samples      int               `json:"samples"`
}

// targets answers how scrape targets are doing.
func (in *intake) targets() any {
	out := []target{}
	for _, t := range in.jobs.Targets() {
		v := target{Job: t.Job, URL: t.URL, Labels: map[string]string{}, Health: t.Health, LastError: t.LastError, Samples: t.Samples}
		for _, l := range t.Labels {
			v.Labels[l.Name] = l.Value
		}
		if !t.LastScrape.IsZero() {
			v.LastScrape, v.LastDuration = bus.TimeOf(t.LastScrape).String(), t.Duration.Round(time.Millisecond).String()
		}
		out = append(out, v)
	}
	return out
}

// metrics appends what came in and what became of it.
func (in *intake) metrics(w io.Writer) {
	s := in.gate.Stats()
	publish(w, "evenkeel_ingest", reflect.ValueOf(s))
	family(w, "evenkeel_ingest_refused_total", "counter", func(line func(string, float64)) {
		for _, r := range ingest.Reasons() {
			line(fmt.Sprintf("reason=%q", r.String()), float64(s.Refused[r]))
		}
	})
	if in.calls != nil {
		publish(w, "evenkeel_calls", reflect.ValueOf(in.calls.Stats()))
	}
	senders := in.gate.Senders()
	senders = senders[:min(len(senders), sendersShown)]
	for _, m := range []struct {
		name, kind string
		v          func(*ingest.SenderStats) float64
	}{
		{"evenkeel_sender_series", "gauge", func(s *ingest.SenderStats) float64 { return float64(s.Series) }},
		{"evenkeel_sender_samples_total", "counter", func(s *ingest.SenderStats) float64 { return float64(s.Samples) }},
		{"evenkeel_sender_filtered_total", "counter", func(s *ingest.SenderStats) float64 { return float64(s.Filtered) }},
		{"evenkeel_sender_refused_total", "counter", func(s *ingest.SenderStats) float64 { return float64(s.Refused) }},
		{"evenkeel_sender_skew_seconds", "gauge", func(s *ingest.SenderStats) float64 { return float64(s.Skew) / 1000 }},
	} {
		family(w, m.name, m.kind, func(line func(string, float64)) {
			for i := range senders {
				line(fmt.Sprintf("sender=%q,global_namespace=%q,cluster=%q", senders[i].Name, senders[i].GlobalNamespace, senders[i].Cluster), m.v(&senders[i]))
			}
		})
	}
	publish(w, "evenkeel_remote_write", reflect.ValueOf(in.write.Stats()))
	publish(w, "evenkeel_scrape", reflect.ValueOf(in.jobs.Stats()))
	o := in.otlp.Stats()
	publish(w, "evenkeel_otlp", reflect.ValueOf(o))
	family(w, "evenkeel_otlp_rejected_points_total", "counter", func(line func(string, float64)) {
		for _, r := range o.Rejected {
			line(fmt.Sprintf("reason=%q", r.Reason), float64(r.Points))
		}
	})
}

// sendersShown bounds the series of /metrics; the gate itself may know 10,000 senders.
const sendersShown = 200
