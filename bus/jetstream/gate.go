package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"evenkeel.dev/bus"
)

// Headers between an agent and the gate. The first two stand on the record in LOG too, so that an agent finds again what of its own is there.
const (
	headerOutbox   = "Ek-Outbox"   // the outbox's life
	headerOutboxN  = "Ek-Outbox-N" // number of the record in it
	headerLane     = "Ek-Lane"
	headerExpect   = "Ek-Expect" // sequence of the last message of the subject in LOG, as the agent knows it
	headerEncoding = "Ek-Encoding"
)

// Codes of an [AgentAnswer].
const (
	AgentMoved   = "Moved"   // the log's last message of the subject is another than expected
	AgentFull    = "Full"    // the log has no room now
	AgentBusy    = "Busy"    // too much at once, of this agent or of all
	AgentInvalid = "Invalid" // the record behind N is refused for good
	AgentUnsure  = "Unsure"  // it is not known whether the record behind N was taken: ask before it is sent again
)

// An AgentAnswer says how far the log has an agent's outbox.
type AgentAnswer struct {
	Version int        `json:"v"`
	Code    string     `json:"code,omitempty"` // "": all was taken
	Message string     `json:"message,omitempty"`
	Life    string     `json:"life,omitempty"` // of the outbox that the last message came from
	N       uint64     `json:"n"`              // its number there
	Seq     uint64     `json:"seq"`            // its sequence in LOG, 0 where there is none
	State   AgentState `json:"state"`
}

// An AgentState is what the hub knows of an agent's cluster.
type AgentState struct {
	AsOf     uint64 `json:"asOf"` // sequence of LOG up to which the hub has read
	Detach   bool   `json:"detach,omitempty"`
	Observer string `json:"observer,omitempty"` // whose observations count
	Missed   bool   `json:"missed,omitempty"`   // some are missing: only a listing can mend it
	// Scope is what the agent shall look at, in the words of whoever made the gate.
	Scope json.RawMessage `json:"scope,omitempty"`
}

// A Lane is one kind of what agents hand in.
type Lane struct {
	Subject func(token string) string             // in LOG, of a cluster's token
	Check   func(token string, data []byte) error // refuses for good what must not get into LOG; nil: nothing
}

// A GateConfig says what agents may hand in.
type GateConfig struct {
	Lanes map[string]Lane
	State func(token string) AgentState
}

// Bounds of the gate.
const (
	gateAtOnce   = 64       // requests of all agents; one more is Busy
	agentRate    = 4 << 20  // bytes a second of one agent ...
	agentBurst   = 32 << 20 // ... and at once
	gateTokenMax = 4096     // agents whose rate is remembered
)

// GateStats count what the gate did since the process started.
type GateStats struct {
	Records, Bytes, Refused, Busy, Moved atomic.Uint64
}

// A Gate takes what agents hand in, and appends it to LOG in their name. An agent has no right on LOG itself: a record whose checksum it left out would
// be a gap to every reader, its batches would hold up the stages' commits, and the last of LOG's room would be open to it.
type Gate struct {
	l      *Log
	config GateConfig
	room   chan struct{}
	Stats  GateStats

	mu    sync.Mutex
	rates map[string]*rate.Limiter // by the agent's token
}

// NewGate returns a gate to the log.
func NewGate(l *Log, c GateConfig) *Gate {
	return &Gate{l: l, config: c, room: make(chan struct{}, gateAtOnce), rates: map[string]*rate.Limiter{}}
}

// Run answers agents until ctx ends, and lets what is under way come to its end.
func (g *Gate) Run(ctx context.Context) error {
	var under sync.WaitGroup
	answer := func(m *nats.Msg) {
		select {
		case g.room <- struct{}{}:
		default:
			g.Stats.Busy.Add(1)
			respond(m, AgentAnswer{Code: AgentBusy})
			return
		}
		under.Go(func() {
			defer func() { <-g.room }()
			g.answer(ctx, m)
		})
	}
	for _, subject := range []string{agentPut + "*", agentLast + "*"} {
		sub, err := g.l.conn.QueueSubscribe(subject, proxyQueue, answer)
		if err != nil {
			return fmt.Errorf("serve agents: %w", err)
		}
		defer sub.Unsubscribe() //nolint:errcheck // the connection may be closed
	}
	<-ctx.Done()
	under.Wait()
	return ctx.Err()
}

func respond(m *nats.Msg, a AgentAnswer) {
	a.Version = 1
	if b, err := json.Marshal(a); err == nil {
		m.Respond(b) //nolint:errcheck // who asked will ask again
	}
}

func (g *Gate) answer(ctx context.Context, m *nats.Msg) {
	what, token := agentPut, strings.TrimPrefix(m.Subject, agentPut)
	if strings.HasPrefix(m.Subject, agentLast) {
		what, token = agentLast, strings.TrimPrefix(m.Subject, agentLast)
	}
	// With an account of its own an agent's reply subject comes as _R_; in a shared one it must be the agent's own inbox: the answer would else be a way
	// to write where the agent may not.
	if !strings.HasPrefix(m.Reply, "_R_.") && !strings.HasPrefix(m.Reply, "_INBOX_"+token+".") {
		g.Stats.Refused.Add(1)
		return
	}
	lane, ok := g.config.Lanes[m.Header.Get(headerLane)]
	if !ok {
		g.Stats.Refused.Add(1)
		respond(m, AgentAnswer{Code: AgentInvalid, Message: "this hub takes nothing of that kind"})
		return
	}
	var a AgentAnswer
	if what == agentLast {
		a = g.last(ctx, lane, token)
	} else {
		a = g.put(ctx, lane, token, m)
	}
	a.State = g.config.State(token)
	respond(m, a)
}

// last reads from LOG's leader how far it has an agent's outbox.
func (g *Gate) last(ctx context.Context, lane Lane, token string) AgentAnswer {
	raw, err := g.l.lastMsg(ctx, streamLog, lane.Subject(token))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return AgentAnswer{}
	case err != nil:
		return AgentAnswer{Code: AgentBusy, Message: "the log does not answer"}
	}
	n, _ := strconv.ParseUint(raw.Header.Get(headerOutboxN), 10, 64) // one of an observer in the hub has none
	return AgentAnswer{Life: raw.Header.Get(headerOutbox), N: n, Seq: raw.Sequence}
}

// put appends a batch, each record under the guard that the one before is the subject's last.
func (g *Gate) put(ctx context.Context, lane Lane, token string, m *nats.Msg) AgentAnswer {
	ps, err := unpackBatch(m.Data, m.Header.Get(headerEncoding))
	expect, err2 := strconv.ParseUint(m.Header.Get(headerExpect), 10, 64)
	life := m.Header.Get(headerOutbox)
	if err != nil || err2 != nil || len(ps) == 0 || life == "" || len(life) > 64 || bus.Token(life) != life {
		g.Stats.Refused.Add(1)
		return AgentAnswer{Code: AgentBusy, Message: "the batch cannot be read"}
	}
	if !g.affords(token, ps) {
		g.Stats.Busy.Add(1)
		return AgentAnswer{Code: AgentBusy, Message: "the agent hands in more than it may"}
	}
	a := AgentAnswer{Life: life, N: ps[0].N - 1, Seq: expect}
	for _, p := range ps {
		if lane.Check != nil {
			if err := lane.Check(token, p.Data); err != nil {
				g.Stats.Refused.Add(1)
				a.Code, a.Message = AgentInvalid, err.Error()
				return a
			}
		}
		seq, err := g.append(ctx, lane.Subject(token), life, p, a.Seq)
		switch code := serverCode(err); {
		case err == nil:
			a.N, a.Seq = p.N, seq
			g.Stats.Records.Add(1)
			g.Stats.Bytes.Add(uint64(len(p.Data)))
			continue
		case code == codeWrongSequence, code == codeWrongInBatch:
			g.Stats.Moved.Add(1)
			a.Code = AgentMoved
		case errors.Is(err, bus.ErrFull):
			a.Code = AgentFull
		default:
			a.Code = AgentUnsure
		}
		return a
	}
	return a
}

// append adds one record to LOG, if the subject's last message is the one that is expected.
func (g *Gate) append(ctx context.Context, subject, life string, p Parcel, expect uint64) (uint64, error) {
	if err := g.l.fullFor(len(p.Data), telemetryShare); err != nil {
		return 0, err
	}
	m := wire(bus.Message{Subject: subject, Data: p.Data, Header: bus.Header{{Name: headerOutbox, Value: life}, {Name: headerOutboxN, Value: strconv.FormatUint(p.N, 10)}}})
	ack, err := g.l.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0), jetstream.WithExpectLastSequencePerSubject(expect))
	if err != nil {
		return 0, g.l.explain(err)
	}
	g.l.usage.since.Add(int64(len(p.Data)) + 64)
	g.l.count.appended.Add(1)
	g.l.saw(ack.Sequence)
	return ack.Sequence, nil
}

// affords takes a batch's bytes off what an agent may hand in.
func (g *Gate) affords(token string, ps []Parcel) bool {
	size := 0
	for _, p := range ps {
		size += len(p.Data) + 64
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	of := g.rates[token]
	if of == nil {
		if len(g.rates) >= gateTokenMax {
			clear(g.rates) // so many there are not: all begin anew
		}
		of = rate.NewLimiter(agentRate, agentBurst)
		g.rates[token] = of
	}
	return of.AllowN(time.Now(), size)
}
