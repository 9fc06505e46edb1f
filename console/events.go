package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/cloudevents"
	"evenkeel.dev/slo"
)

// Events reads the public events. It calls fn in order until ctx ends, fn returns an error or, with from.Stop, the end is reached.
type Events interface {
	Events(ctx context.Context, from EventsFrom, fn func(Event) error) error
}

// EventsFrom says where to begin; the zero value is "from now on".
type EventsFrom struct {
	Seq  uint64   // sequence in EVENTS, from 1
	Time bus.Time // ce-time at or after
	Stop bool     // end at what is there now instead of waiting for more
}

// An Event is one public event as its store keeps it.
type Event struct {
	Seq     uint64     // in EVENTS
	Subject string     // evenkeel.<area>.<type>.<gns>.<…>
	Header  bus.Header // CloudEvents attributes as "ce-…"
	Data    []byte     // JSON
}

// Extensions that lines of the event stream carry beside what the event has.
const (
	ExtensionSequence = "sequence"    // in EVENTS, decimal: a stream can be taken up after it with from=
	ExtensionSubject  = "natssubject" // under which it is published
)

// line is one line of the event stream: a CloudEvent in structured mode.
func line(e Event) ([]byte, error) {
	c, err := cloudevents.From(e.Header, e.Data)
	if err != nil {
		return nil, err
	}
	if err := c.SetExtension(ExtensionSequence, strconv.FormatUint(e.Seq, 10)); err != nil {
		return nil, err
	}
	if err := c.SetExtension(ExtensionSubject, e.Subject); err != nil {
		return nil, err
	}
	return json.Marshal(c)
}

// ParseFrom reads where to begin: "" and "now", a sequence, a time in RFC 3339, or a duration ago ("15m", "2h", "1d").
func ParseFrom(v string, now bus.Time) (EventsFrom, error) {
	if v == "" || v == "now" {
		return EventsFrom{}, nil
	}
	if n, err := strconv.ParseUint(v, 10, 64); err == nil {
		return EventsFrom{Seq: max(n, 1)}, nil
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return EventsFrom{Time: bus.TimeOf(t)}, nil
	}
	if d, err := slo.ParseDuration(v); err == nil {
		return EventsFrom{Time: max(now-d.Time(), 1)}, nil
	}
	return EventsFrom{}, Fail(http.StatusBadRequest, "BadQuery", "from="+v+" is none of: now, a sequence, a time as 2026-01-02T15:04:05Z, a duration ago as 15m", nil)
}

// eventFilter keeps the events of a type (a whole CloudEvents type, or "slo.alert" for any version) within an identity's rights.
type eventFilter struct {
	typ string
	gns string
	by  Identity
}

func (f eventFilter) keeps(e *Event) bool {
	area, kind, gns := eventNames(e.Subject)
	if f.typ != "" && f.typ != e.Header.Get("ce-type") && f.typ != area+"."+kind && f.typ != kind {
		return false
	}
	if f.gns != "" && bus.Token(f.gns) != gns {
		return false
	}
	if len(f.by.GlobalNamespaces) == 0 {
		return true
	}
	for _, g := range f.by.GlobalNamespaces {
		if bus.Token(g) == gns {
			return true
		}
	}
	return false
}

// eventNames cuts a public subject into area, type and the token of its global namespace.
func eventNames(subject string) (area, kind, gns string) {
	parts := strings.SplitN(subject, ".", 5)
	for len(parts) < 4 {
		parts = append(parts, "")
	}
	return parts[1], parts[2], parts[3]
}

var errClientGone = errors.New("the client is gone")

// heartbeat is how often an idle stream gets an empty line, so that proxies and clients see that it lives.
const heartbeat = 15 * time.Second

// streamEvents answers events as JSON lines. Without follow it ends with what is there; then from is the beginning unless told.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) {
	follow, err := queryBool(r, "follow")
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	q := r.URL.Query()
	from, err := ParseFrom(q.Get("from"), s.Now())
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	if from.Stop = !follow; from.Stop && from.Seq == 0 && from.Time == 0 {
		from.Seq = 1
	}
	if !enter(&s.counts.Streams, MaxStreams) {
		w.Header().Set("Retry-After", "5")
		writeError(w, http.StatusServiceUnavailable, "TooManyStreams", "too many event streams are open", nil)
		return
	}
	defer s.counts.Streams.Add(-1)
	f := eventFilter{typ: q.Get("type"), gns: q.Get("gns"), by: IdentityOf(r.Context())}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	s.pump(r.Context(), &lines{w: w, c: http.NewResponseController(w)}, from, f)
}

// pump reads events in one goroutine and writes them, with heartbeats, in this one.
func (s *Server) pump(ctx context.Context, out *lines, from EventsFrom, f eventFilter) {
	ctx, cancel := context.WithCancel(ctx)
	events := make(chan Event, 64)
	done := make(chan error, 1)
	go func() {
		done <- s.Events.Events(ctx, from, func(e Event) error {
			if !f.keeps(&e) {
				return nil
			}
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return errClientGone
			}
		})
		close(events)
	}()
	out.copy(events, s.Ending)
	cancel()
	if err := <-done; err != nil && ctx.Err() == nil {
		s.Logger.Warn("event stream ended", "error", err)
	}
}

type lines struct {
	w http.ResponseWriter
	c *http.ResponseController
}

// copy writes events until the channel is closed, the client is gone or the process ends.
func (l *lines) copy(events <-chan Event, ending <-chan struct{}) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	if l.c.Flush() != nil {
		return
	}
	for {
		var text []byte
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			b, err := line(e)
			if err != nil {
				b = fmt.Appendf(nil, `{"error":{"code":"Unreadable","message":"event %d cannot be read"}}`, e.Seq)
			}
			text = append(b, '\n')
		case <-ending:
			return
		case <-beat.C:
			text = []byte("\n")
		}
		if _, err := l.w.Write(text); err != nil {
			return
		}
		if len(events) == 0 && l.c.Flush() != nil {
			return
		}
	}
}

func (s *Server) eventsSchema(w http.ResponseWriter, r *http.Request) {
	b, err := s.Schema()
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(b) // a client that is gone needs no answer
}
