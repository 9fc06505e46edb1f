package jetstream

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Heartbeats go from process to process over the bus and are kept nowhere: a wrong view costs a refused commit, never a wrong number.
const (
	subjectBeat  = "ek.beat"  // every process sends one a second
	subjectHeard = "ek.heard" // the same, as the limited accounts of the embedded server hear it
	beatInterval = time.Second
	beatTimeout  = 4 * time.Second        // a member that was not heard for so long is dead
	joinWait     = 300 * time.Millisecond // how long a new member listens before it believes what it hears
	membersMax   = 256                    // bound of the view; more processes than that share nothing sensibly
	beatBytesMax = 4096
	beatVersion  = 1
)

// A Member is a live process.
type Member struct {
	ID    string
	Roles []string
}

// A MembersConfig says who joins.
type MembersConfig struct {
	Log      *Log
	ID       string   // unique; default random
	Roles    []string // what it takes part in: names of roles, for example "slo", "notify", "tick"
	OnChange func()   // called after the view has changed, never twice at once; it must not block for long
}

// Members is the view of who is alive. By it each process knows, without asking, which partitions are its own.
type Members struct {
	config MembersConfig
	id     string

	mu      sync.Mutex
	seen    map[string]*seen // by ID; bounded by membersMax
	changed chan struct{}

	subs   []*nats.Subscription
	notify chan struct{}
	cancel context.CancelFunc
	done   sync.WaitGroup
	once   sync.Once
}

type seen struct {
	roles []string
	at    time.Time // monotonic
}

// beat is a heartbeat.
type beat struct {
	Version int      `json:"v"`
	ID      string   `json:"id"`
	Roles   []string `json:"roles,omitempty"`
	Gone    bool     `json:"gone,omitempty"` // it leaves
	Ask     bool     `json:"ask,omitempty"`  // it is new: say who you are
	Full    bool     `json:"full,omitempty"` // its server's disk has only the reserve left
}

// Join tells the others that this process is there and learns who they are. It returns after a third of a second.
func Join(ctx context.Context, c MembersConfig) (*Members, error) {
	m := &Members{config: c, id: c.ID, seen: map[string]*seen{}, changed: make(chan struct{}), notify: make(chan struct{}, 1)}
	if m.id == "" {
		m.id = randomName(8)
	}
	for _, subject := range []string{subjectBeat, subjectHeard} {
		s, err := c.Log.conn.Subscribe(subject, m.hear)
		if err != nil {
			m.unsubscribe()
			return nil, fmt.Errorf("join the members: %w", err)
		}
		m.subs = append(m.subs, s)
	}
	if err := errors.Join(m.send(beat{Ask: true}), wait(ctx, joinWait)); err != nil {
		m.unsubscribe()
		return nil, fmt.Errorf("join the members: %w", err)
	}
	run, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.done.Go(func() { m.beat(run) })
	m.done.Go(func() { m.tell(run) })
	return m, nil
}

// Leave tells the others that this process is gone, so that they take over at once.
func (m *Members) Leave() {
	m.once.Do(func() {
		m.cancel()
		m.done.Wait()
		m.unsubscribe()
		if err := m.send(beat{Gone: true}); err == nil {
			m.config.Log.conn.FlushTimeout(time.Second) //nolint:errcheck // the others notice in four seconds
		}
	})
}

func (m *Members) unsubscribe() {
	for _, s := range m.subs {
		s.Unsubscribe() //nolint:errcheck // the connection is going anyway
	}
}

// ID returns this member's name.
func (m *Members) ID() string { return m.id }

// List returns the live members by ID. It is empty while this process does not hear even itself.
func (m *Members) List() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen[m.id] == nil {
		return nil
	}
	out := make([]Member, 0, len(m.seen))
	for id, s := range m.seen {
		out = append(out, Member{ID: id, Roles: s.roles})
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Changed returns a channel that is closed at the next change of the view.
func (m *Members) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Owns reports whether this process should work on a partition: of the live members that have the role, the one with the highest
// hash of (its ID, key, partition) should (rendezvous hashing: a member that comes or goes moves only its own share).
func (m *Members) Owns(role, key string, partition int) bool {
	best, top := "", uint64(0)
	for _, member := range m.List() {
		if !slices.Contains(member.Roles, role) {
			continue
		}
		if h := rendezvous(member.ID, key, partition); best == "" || h > top {
			best, top = member.ID, h
		}
	}
	return best == m.id
}

func rendezvous(id, key string, partition int) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	h.Write([]byte{0})
	h.Write([]byte(key))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(partition)))
	// FNV's low bytes come last and barely reach the high bits: mix (the finalizer of MurmurHash3).
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func (m *Members) send(b beat) error {
	b.Version, b.ID, b.Roles = beatVersion, m.id, m.config.Roles
	if s := m.config.Log.config.Server; s != nil {
		free, reserve := s.Disk()
		b.Full = free < reserve
	}
	raw, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return m.config.Log.conn.Publish(subjectBeat, raw)
}

// beat sends heartbeats and forgets the dead.
func (m *Members) beat(ctx context.Context) {
	t := time.NewTicker(beatInterval)
	defer t.Stop()
	for {
		if err := m.send(beat{}); err != nil {
			m.config.Log.config.Logger.Warn("heartbeat was not sent", "err", err)
		}
		m.bury(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (m *Members) bury(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, s := range m.seen {
		if now.Sub(s.at) > beatTimeout {
			delete(m.seen, id)
			m.alter()
		}
	}
}

// hear takes one heartbeat.
func (m *Members) hear(msg *nats.Msg) {
	var b beat
	if len(msg.Data) > beatBytesMax || json.Unmarshal(msg.Data, &b) != nil || b.ID == "" || b.Version != beatVersion {
		m.config.Log.count.strangeBeats.Add(1)
		return
	}
	if b.Full {
		m.config.Log.usage.remoteFull.Store(time.Now().UnixMilli())
	}
	if b.Ask && b.ID != m.id {
		m.send(beat{}) //nolint:errcheck // the next one is a second away
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.seen[b.ID]
	switch {
	case b.Gone:
		if old != nil {
			delete(m.seen, b.ID)
			m.alter()
		}
	case old == nil && len(m.seen) >= membersMax:
		m.config.Log.count.strangeBeats.Add(1)
	default:
		m.seen[b.ID] = &seen{roles: b.Roles, at: time.Now()}
		if old == nil || !slices.Equal(old.roles, b.Roles) {
			m.alter()
		}
	}
}

// alter tells that the view has changed; the lock is held.
func (m *Members) alter() {
	close(m.changed)
	m.changed = make(chan struct{})
	select {
	case m.notify <- struct{}{}:
	default:
	}
}

func (m *Members) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.notify:
			if m.config.OnChange != nil {
				m.config.OnChange()
			}
		}
	}
}
