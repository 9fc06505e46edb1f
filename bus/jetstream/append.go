package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
)

// Error codes of the server.
const (
	codeWrongSequence  = 10071
	codeWrongInBatch   = 10164 // the same, while another write is still on its way
	codeStoreFailed    = 10077 // among others: the stream has its full size, the disk has no room
	codeNoStorage      = 10047
	codeNoResources    = 10023
	codeTooLarge       = 10054
	codeNotEnabled     = 10076 // among others: JetStream was shut down because the disk was full
	codeNotEnabledHere = 10039
)

// Shares of LOG's bound at which appends are refused; what is left is for commits.
const (
	telemetryShare = 0.90
	otherShare     = 0.95
)

// frameRoom is the size of a large frame: Ready wants room for one.
const frameRoom = 512 << 10

// usage is what LOG holds, read from the server once a second and counted on in between.
type usage struct {
	bytes, max, first, last atomic.Int64
	since                   atomic.Int64 // bytes appended here since the last reading
	at                      atomic.Int64 // unix milliseconds of the last reading
	remoteFull              atomic.Int64 // unix milliseconds at which a server last said that its disk is at the reserve
	down                    atomic.Bool  // the last reading failed
	eventsLag               atomic.Int64 // messages of LOG that EVENTS knows of and has not taken
	caught                  atomic.Int32 // how many of streamNames this node has caught up with since its start, where it is one of several
	eventsHeard             atomic.Int64 // unix milliseconds at which EVENTS last heard from LOG; 0 where it never did
}

func (u *usage) refresh(ctx context.Context, l *Log) error {
	info, err := l.info(ctx, streamLog)
	u.down.Store(err != nil)
	if err != nil {
		return err
	}
	u.since.Store(0)
	u.bytes.Store(int64(info.State.Bytes))
	u.max.Store(info.Config.MaxBytes)
	u.first.Store(int64(info.State.FirstSeq))
	u.last.Store(int64(info.State.LastSeq))
	u.at.Store(time.Now().UnixMilli())
	l.saw(info.State.LastSeq)
	return nil
}

// refreshEvents reads how far EVENTS has come. After the death of LOG's leader the server may need half a minute to notice that its
// source is silent: public events are late by so much, and whoever watches the engine should see it.
func (u *usage) refreshEvents(ctx context.Context, l *Log) error {
	info, err := l.info(ctx, streamEvents)
	if err != nil {
		return err
	}
	for _, s := range info.Sources {
		u.eventsLag.Store(int64(s.Lag))
		if s.Active >= 0 { // below 0: not yet
			u.eventsHeard.Store(time.Now().Add(-s.Active).UnixMilli())
		}
	}
	return nil
}

// lagMax is how many messages a copy may be behind and still count as caught up: under load there are always some on their way.
const lagMax = 100

// replica reports whether the server in this process is one of several.
func (l *Log) replica() bool { return l.config.Server != nil && l.config.Server.config.Cluster != nil }

// refreshCopies looks how far this node has caught up since it was started. Before that the other nodes alone have all messages, and
// none of them may be taken down.
func (u *usage) refreshCopies(ctx context.Context, l *Log) error {
	for l.replica() && int(u.caught.Load()) < len(streamNames) {
		if !l.config.Server.nats.JetStreamIsCurrent() {
			return nil // it does not know all streams yet
		}
		name := streamNames[u.caught.Load()]
		info, err := l.info(ctx, name)
		if err != nil {
			return err
		}
		if !l.config.Server.current(info) {
			return nil
		}
		u.caught.Add(1)
	}
	return nil
}

// current reports whether this server leads the stream, or its leader counts it as current. What the server thinks of its own copy
// is not enough: before it has heard from the leader it does not know what it lacks.
func (s *Server) current(info *jetstream.StreamInfo) bool {
	name := s.nats.Name()
	if info.Cluster == nil || info.Cluster.Leader == name {
		return info.Cluster != nil
	}
	for _, r := range info.Cluster.Replicas {
		if r.Name == name {
			return r.Current && !r.Offline && r.Lag <= lagMax && s.nats.JetStreamIsStreamCurrent(accountInternal, info.Config.Name)
		}
	}
	return true // it has no copy of this stream
}

func (u *usage) watch(ctx context.Context, l *Log) {
	for wait(ctx, time.Second) == nil {
		if err := u.refresh(ctx, l); err != nil && ctx.Err() == nil {
			l.config.Logger.Warn("the log's size cannot be read", "err", err)
		}
		if err := u.refreshEvents(ctx, l); err != nil && ctx.Err() == nil {
			l.config.Logger.Warn("how far EVENTS has come cannot be read", "err", err)
		}
		if err := u.refreshCopies(ctx, l); err != nil && ctx.Err() == nil {
			l.config.Logger.Warn("whether this node has caught up cannot be read", "err", err)
		}
	}
}

// full reports whether a message of that kind is refused now, and why.
func (l *Log) full(subject string, size int) error {
	if strings.HasPrefix(subject, bus.SubjectFrame) || strings.HasPrefix(subject, bus.SubjectProposal) {
		return l.fullFor(size, telemetryShare)
	}
	return l.fullFor(size, otherShare)
}

// fullFor reports whether a message that may fill LOG up to a share is refused now, and why.
func (l *Log) fullFor(size int, share float64) error {
	u, telemetry := &l.usage, share == telemetryShare
	have, bound := u.bytes.Load()+u.since.Load()+int64(size), float64(u.max.Load())*share
	if bound > 0 && float64(have) > bound {
		return fmt.Errorf("%w: LOG has %d of %d bytes, and the last %.0f %% are for commits", bus.ErrFull, have, u.max.Load(), 100*(1-share))
	}
	s := l.config.Server
	if s != nil && s.exhausted() {
		return fmt.Errorf("%w: the disk has %d bytes free", bus.ErrFull, s.free.Load())
	}
	if !telemetry {
		return nil
	}
	if s != nil {
		if free, reserve := s.Disk(); free-int64(size) < reserve {
			return fmt.Errorf("%w: the disk has %d bytes free, and %d are the reserve", bus.ErrFull, free, reserve)
		}
	} else if time.Now().UnixMilli()-u.remoteFull.Load() < 3000 {
		return fmt.Errorf("%w: the disk of a server has only its reserve left", bus.ErrFull)
	}
	return nil
}

// Append implements [bus.Log].
func (l *Log) Append(ctx context.Context, m bus.Message) (uint64, error) {
	if len(m.Data) > maxPayload-4096 {
		return 0, fmt.Errorf("append to %s: %w: it has %d bytes, the bound is %d", m.Subject, bus.ErrTooLarge, len(m.Data), maxPayload-4096)
	}
	if err := l.full(m.Subject, len(m.Data)); err != nil {
		l.count.refused.Add(1)
		return 0, fmt.Errorf("append to %s: %w", m.Subject, err)
	}
	ack, err := l.js.PublishMsg(ctx, wire(m), jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, fmt.Errorf("append to %s: %w", m.Subject, l.explain(err))
	}
	l.usage.since.Add(int64(len(m.Data)) + 64)
	l.count.appended.Add(1)
	l.saw(ack.Sequence)
	return ack.Sequence, nil
}

// explain maps what the server or the client says to the errors of [bus.Log].
func (l *Log) explain(err error) error {
	switch code := serverCode(err); {
	case code == codeTooLarge, errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", bus.ErrTooLarge, err)
	case code == codeStoreFailed, code == codeNoStorage, code == codeNoResources:
		l.count.refused.Add(1)
		return fmt.Errorf("%w: %w", bus.ErrFull, err)
	}
	if s := l.config.Server; s != nil && s.exhausted() {
		l.count.refused.Add(1)
		return fmt.Errorf("%w: writes fail until the disk has room: %w", bus.ErrFull, err)
	}
	return err
}

// serverCode returns the server's error code, 0 where err is none of the server's.
func serverCode(err error) int {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return int(api.ErrorCode)
	}
	return 0
}

// Ready reports, by nil, that LOG can take telemetry now.
func (l *Log) Ready() error {
	if !l.conn.IsConnected() {
		return errors.New("log: not connected")
	}
	if l.usage.down.Load() {
		return errors.New("log: the server does not answer")
	}
	if i := int(l.usage.caught.Load()); l.replica() && i < len(streamNames) {
		return fmt.Errorf("log: this node's copy of %s has not caught up with the other nodes", streamNames[i])
	}
	return l.full(bus.SubjectFrame, frameRoom)
}
