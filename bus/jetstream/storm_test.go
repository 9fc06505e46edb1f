package jetstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A relay stands between agent and hub, and can be cut.
type relay struct {
	net.Listener
	to   string
	mu   sync.Mutex
	down bool
	open map[net.Conn]bool
}

func startRelay(t *testing.T, to string) *relay {
	t.Helper()
	n, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: n, to: to, open: map[net.Conn]bool{}}
	t.Cleanup(func() { n.Close(); r.set(true) })
	go func() {
		for {
			c, err := n.Accept()
			if err != nil {
				return
			}
			go r.pipe(c)
		}
	}()
	return r
}

func (r *relay) pipe(in net.Conn) {
	out, err := net.Dial("tcp", r.to)
	r.mu.Lock()
	if err != nil || r.down {
		r.mu.Unlock()
		in.Close()
		return
	}
	r.open[in], r.open[out] = true, true
	r.mu.Unlock()
	var both sync.WaitGroup
	for _, p := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() { copyConn(p[0], p[1]) })
	}
	both.Wait()
	r.mu.Lock()
	delete(r.open, in)
	delete(r.open, out)
	r.mu.Unlock()
}

func copyConn(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	from.Close()
	to.Close()
}

// set cuts the line, or lets it be made again.
func (r *relay) set(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
	if down {
		for c := range r.open {
			c.Close()
		}
	}
}

// TestOutboxFaults: whatever happens between an agent and its hub, in any order, a record would be lost or come twice (SAFETY 23).
func TestOutboxFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			newStorm(t, seed).run(40)
		})
	}
}

// A storm is a hub and an agent to which things happen.
type storm struct {
	t     *testing.T
	r     *rand.Rand
	dir   string // of the hub
	port  string
	hub   *Server
	log   *Log
	gate  func()
	relay *relay
	key   AgentKey
	seed  string
	link  *AgentLink
	box   *box
	stop  func()
	n     int
	mu    sync.Mutex
	lossy float64
}

func newStorm(t *testing.T, seed uint64) *storm {
	s := &storm{t: t, r: rand.New(rand.NewPCG(seed, 7)), dir: t.TempDir()}
	s.key, s.seed = agentKey(t, "eu-1")
	s.startHub()
	s.relay = startRelay(t, strings.TrimPrefix(s.hub.ClientURL(), "nats://"))
	s.box = openBox(t, OutboxConfig{})
	s.startAgent()
	t.Cleanup(func() { s.stop(); s.stopHub() })
	return s
}

func (s *storm) startHub() {
	s.t.Helper()
	listen := "127.0.0.1:0"
	if s.port != "" {
		listen = s.port
	}
	var err error
	if s.hub, err = StartServer(ServerConfig{DataDir: s.dir, Listen: listen, DiskReserve: 1}); err != nil {
		s.t.Fatal(err)
	}
	s.port = strings.TrimPrefix(s.hub.ClientURL(), "nats://")
	if s.log, err = Open(context.Background(), Config{Server: s.hub}); err != nil {
		s.t.Fatal(err)
	}
	g := NewGate(s.log, GateConfig{Lanes: map[string]Lane{laneTest: {Subject: observations}}, State: func(string) AgentState { return AgentState{} }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }() //nolint:errcheck // it ends with the context
	s.gate = func() { cancel(); <-done }
	if err := s.hub.SetAgents([]AgentKey{s.key}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *storm) stopHub() {
	s.gate()
	s.log.Close()
	s.hub.Close()
}

func (s *storm) startAgent() {
	s.t.Helper()
	var err error
	if s.link, err = DialHub(LinkConfig{URL: "nats://" + s.relay.Addr().String(), Cluster: "eu-1", SeedFile: s.seed}); err != nil {
		s.t.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(s.r.Uint64(), 1))
	f := &faulty{s.link, func(string) (bool, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return chance.Float64() < s.lossy, chance.Float64() < s.lossy
	}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	box := s.box.Outbox
	go func() { defer close(done); box.Forward(ctx, f) }() //nolint:errcheck // it ends with the context
	s.stop = func() { cancel(); <-done; s.link.Close() }
}

func (s *storm) run(steps int) {
	s.t.Helper()
	for range steps {
		for range s.r.IntN(12) {
			s.n++
			s.box.put(strconv.Itoa(s.n))
		}
		switch s.r.IntN(7) {
		case 0:
			s.relay.set(true)
		case 1:
			s.stopHub()
			s.startHub()
		case 2:
			s.stop()
			s.box.restart()
			s.startAgent()
		case 3:
			s.chance(0.5)
		case 4:
			s.chance(0)
			s.relay.set(false)
		default:
			s.relay.set(false)
			at := s.box.Stats().Sent
			for range 50 { // a while, or until something has got through
				if s.box.Stats().Sent != at || s.box.Stats().Waiting == 0 || wait(s.t.Context(), 2*time.Millisecond) != nil {
					break
				}
			}
		}
	}
	s.relay.set(false)
	s.chance(0)
	eventually(s.t, 60*time.Second, "all is handed in", func() bool { return s.box.Stats().Waiting == 0 })
	same(s.t, "after the storm", written(s.t, s.log, "eu-1"), texts(1, s.n))
	if len(s.box.lost) != 0 {
		s.t.Errorf("lost: %v", s.box.lost)
	}
	st := s.box.Stats()
	s.t.Logf("%d records; since the agent's last start: %+v", s.n, st)
}

func (s *storm) chance(p float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lossy = p
}
