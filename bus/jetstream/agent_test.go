package jetstream

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"evenkeel.dev/bus"
)

const laneTest = "observation"

func observations(token string) string { return bus.SubjectObservation + "mesh." + token }

// serveGate runs the gate of a log until the test ends. It returns once agents are heard: whoever asks before is told that nobody answers.
func serveGate(t *testing.T, l *Log, c GateConfig) *Gate {
	t.Helper()
	if c.Lanes == nil {
		c.Lanes = map[string]Lane{laneTest: {Subject: observations}}
	}
	if c.State == nil {
		c.State = func(string) AgentState { return AgentState{} }
	}
	g := NewGate(l, c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }() //nolint:errcheck // it ends with the context
	t.Cleanup(func() { cancel(); <-done })
	answers, err := l.conn.SubscribeSync("_INBOX_nobody.listens")
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Unsubscribe() //nolint:errcheck // the connection may be closed
	ask := &nats.Msg{Subject: agentLast + "nobody", Reply: answers.Subject, Header: nats.Header{headerLane: {laneTest}}}
	eventually(t, 5*time.Second, "the gate listens", func() bool {
		if err := l.conn.PublishMsg(ask); err != nil {
			return false
		}
		m, err := answers.NextMsg(time.Second)
		return err == nil && m.Header.Get("Status") == "" // 503: nobody listens
	})
	return g
}

// agentKey makes the key of an agent.
func agentKey(t *testing.T, cluster string) (AgentKey, string) {
	t.Helper()
	seed := filepath.Join(t.TempDir(), "agent.seed")
	public, err := EnsureAgentKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	return AgentKey{cluster, public}, seed
}

func dialHub(t *testing.T, s *Server, cluster, seed string) *AgentLink {
	t.Helper()
	l, err := DialHub(LinkConfig{URL: s.ClientURL(), Cluster: cluster, SeedFile: seed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func handIn(ctx context.Context, l Link, life string, expect, n uint64, data string) (AgentAnswer, error) {
	return l.Put(ctx, laneTest, life, expect, []Parcel{{n, []byte(data)}})
}

// TestAgentRights: with one agent's credentials something of another cluster's, or of Evenkeel's own, could be read or written (SAFETY 14, 26).
func TestAgentRights(t *testing.T) {
	t.Parallel()
	s := listeningServer(t)
	l := openTestLog(t, Config{Server: s})
	serveGate(t, l, GateConfig{})
	eu, seed := agentKey(t, "eu-1")
	us, usSeed := agentKey(t, "us-1")
	if err := s.SetAgents([]AgentKey{eu, us}); err != nil {
		t.Fatal(err)
	}
	link, other := dialHub(t, s, "eu-1", seed), dialHub(t, s, "us-1", usSeed)
	eventually(t, 5*time.Second, "both agents are connected", func() bool { return link.conn.IsConnected() && other.conn.IsConnected() })
	if a, err := handIn(t.Context(), link, "life1", 0, 1, "mine"); err != nil || a.Code != "" || a.N != 1 || a.Seq == 0 {
		t.Fatalf("an agent's own record: %+v, %v", a, err)
	}
	if a, err := link.Last(t.Context(), laneTest); err != nil || a.Life != "life1" || a.N != 1 {
		t.Fatalf("what the log has of it: %+v, %v", a, err)
	}

	nc := link.conn
	heard := func(m *nats.Msg) { t.Errorf("an agent hears %s: %s", m.Subject, m.Data) }
	for _, subject := range []string{">", "log.>", "evenkeel.>", "_INBOX.>", "_INBOX_us-1.>", "_R_.>", "$SYS.>", "$JS.>", "ek.>", "ek.agent.put.us-1", "ek.agent.put.eu-1"} {
		if _, err := nc.Subscribe(subject, heard); err != nil {
			t.Fatal(err)
		}
	}
	before := l.mustInfo(t).State.LastSeq
	for _, subject := range []string{
		"log.observation.mesh.eu-1", "log.observation.mesh.us-1", "log.frame.1", "log.tick", "log.commit.slo.1", "log.proposal.definitions", "log.proposal.enrolment", "log.result.x",
		"log.event.mesh.cluster.-.us-1", "evenkeel.mesh.cluster.-.us-1", "heads.slo.1", "snap.x", "meta.log", "ek.beat", "ek.beat.in", "_INBOX_us-1.x", "ek.agent.put.us-1", "ek.api.CONSUMER.CREATE.LOG.x",
	} {
		if err := nc.PublishMsg(&nats.Msg{Subject: subject, Reply: agentInbox("eu-1") + ".x", Header: nats.Header{headerLane: {laneTest}, headerOutbox: {"x"}, headerExpect: {"0"}}, Data: []byte("\x01\x01x")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, api := range []string{"INFO", "STREAM.INFO.LOG", "STREAM.MSG.GET.LOG", "DIRECT.GET.LOG", "STREAM.MSG.GET.EVENTS", "DIRECT.GET.EVENTS", "STREAM.LIST", "STREAM.PURGE.LOG", "STREAM.DELETE.LOG", "STREAM.CREATE.X", "CONSUMER.CREATE.LOG.x", "CONSUMER.CREATE.EVENTS.x"} {
		if m, err := nc.Request("$JS.API."+api, []byte(`{}`), 100*time.Millisecond); err == nil {
			t.Errorf("an agent may ask %s: %s", api, m.Data)
		}
	}
	// What an agent asks is answered to no subject but its own inbox.
	for _, reply := range []string{"log.frame.1", "_INBOX_us-1.y", "ek.beat"} {
		if err := nc.PublishMsg(&nats.Msg{Subject: agentLast + "eu-1", Reply: reply, Header: nats.Header{headerLane: {laneTest}}}); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := link.Last(t.Context(), laneTest); err != nil || a.N != 1 { // all that was sent before has been handled
		t.Fatalf("%+v, %v", a, err)
	}
	if a, err := other.Last(t.Context(), laneTest); err != nil || a.Seq != 0 {
		t.Errorf("something was written for the other cluster: %+v, %v", a, err)
	}
	if after := l.mustInfo(t).State.LastSeq; after != before {
		t.Errorf("LOG went from %d to %d by what an agent did", before, after)
	}
}

// TestAgentsComeAndGo: an enrolled agent would need a restart of the hub, or one that was detached could go on speaking (SAFETY 14).
func TestAgentsComeAndGo(t *testing.T) {
	t.Parallel()
	s := listeningServer(t)
	l := openTestLog(t, Config{Server: s})
	serveGate(t, l, GateConfig{})
	eu, seed := agentKey(t, "eu-1")
	link := dialHub(t, s, "eu-1", seed)
	if _, err := handIn(t.Context(), link, "a", 0, 1, "x"); err == nil {
		t.Fatal("an agent that nobody knows gets in")
	}
	if err := s.SetAgents([]AgentKey{eu}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the agent gets in once it is known", func() bool { return link.conn.IsConnected() })
	if a, err := handIn(t.Context(), link, "a", 0, 1, "x"); err != nil || a.Code != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	us, _ := agentKey(t, "us-1")
	if err := s.SetAgents([]AgentKey{us, eu}); err != nil {
		t.Fatal(err)
	}
	if !link.conn.IsConnected() || s.AgentConnections() != 1 {
		t.Error("another agent's coming cuts this one off")
	}
	if err := s.SetAgents([]AgentKey{us}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the agent is cut off when it goes", func() bool { return !link.conn.IsConnected() && s.AgentConnections() == 0 })
	// The key of one cluster does not open another one.
	moved := AgentKey{"us-2", eu.Key}
	if err := s.SetAgents([]AgentKey{moved}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 40*time.Second, "the key speaks for its new cluster", func() bool { return link.conn.IsConnected() })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if a, err := handIn(ctx, link, "a", 0, 2, "x"); err == nil {
		t.Errorf("it still speaks for the old one: %+v", a)
	}
	if err := s.SetAgents([]AgentKey{{"eu-1", "no key"}}); err == nil {
		t.Error("a key that is none is taken")
	}
}

// TestAgentForged: somebody who has read an agent's public key, or its answer to another challenge, would get in.
func TestAgentForged(t *testing.T) {
	s := listeningServer(t)
	eu, _ := agentKey(t, "eu-1")
	_, wrong := agentKey(t, "eu-1")
	if err := s.SetAgents([]AgentKey{eu}); err != nil {
		t.Fatal(err)
	}
	pair, err := nats.NkeyOptionFromSeed(wrong)
	if err != nil {
		t.Fatal(err)
	}
	var o nats.Options
	if err := pair(&o); err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string]nats.Option{
		"another key's signature": nats.Nkey(eu.Key, o.SignatureCB),
		"no signature":            nats.Nkey(eu.Key, func([]byte) ([]byte, error) { return nil, nil }),
		"an old signature":        nats.Nkey(eu.Key, func([]byte) ([]byte, error) { return []byte(strings.Repeat("x", 64)), nil }),
		"the key as a token":      nats.Token(eu.Key),
		"the key as a user":       nats.UserInfo(eu.Key, ""),
	} {
		if nc, err := nats.Connect(s.ClientURL(), option); err == nil {
			nc.Close()
			t.Errorf("%s: got in", name)
		}
	}
}

// TestGate: an agent could write what its cluster may not say, more than it may, or past the room that is kept for commits.
func TestGate(t *testing.T) {
	t.Parallel()
	s := listeningServer(t)
	l := openTestLog(t, Config{Server: s})
	bad := errors.New("it is of another cluster")
	g := serveGate(t, l, GateConfig{Lanes: map[string]Lane{laneTest: {observations, func(token string, data []byte) error {
		if strings.HasPrefix(string(data), "bad") {
			return bad
		}
		return nil
	}}}, State: func(token string) AgentState { return AgentState{AsOf: 7, Observer: token} }})
	eu, seed := agentKey(t, "eu-1")
	if err := s.SetAgents([]AgentKey{eu}); err != nil {
		t.Fatal(err)
	}
	link := dialHub(t, s, "eu-1", seed)
	eventually(t, 5*time.Second, "connected", func() bool { return link.conn.IsConnected() })
	must := func(what string, a AgentAnswer, err error, code string, n uint64) AgentAnswer {
		t.Helper()
		if err != nil || a.Code != code || a.N != n || a.State.AsOf != 7 || a.State.Observer != "eu-1" {
			t.Errorf("%s: %+v, %v; want code %q and n %d", what, a, err, code, n)
		}
		return a
	}
	a, err := link.Put(t.Context(), laneTest, "a", 0, []Parcel{{1, []byte("one")}, {2, []byte("two")}, {5, []byte("five")}, {6, []byte("bad six")}, {7, []byte("seven")}})
	a = must("a record that is refused", a, err, AgentInvalid, 5)
	b, err := handIn(t.Context(), link, "a", a.Seq-1, 7, "seven")
	must("another expectation", b, err, AgentMoved, 6)
	b, err = handIn(t.Context(), link, "a", a.Seq, 7, "seven")
	must("the right one", b, err, "", 7)
	b, err = handIn(t.Context(), link, "a", a.Seq, 7, "seven")
	must("the same once more", b, err, AgentMoved, 6)
	b, err = link.Last(t.Context(), laneTest)
	must("what the log has", b, err, "", 7)
	if no, err := link.Last(t.Context(), "frame"); err != nil || no.Code != AgentInvalid {
		t.Errorf("a lane that is none: %+v, %v", no, err)
	}
	raw, err := l.lastMsg(t.Context(), streamLog, observations("eu-1"))
	if err != nil || !checked(raw.Subject, raw.Header, raw.Data) || raw.Header.Get(headerOutboxN) != "7" || raw.Header.Get(headerOutbox) != "a" {
		t.Errorf("in LOG: %+v, %v", raw, err)
	}
	g.mu.Lock()
	for range 2 { // so much that it owes a whole burst
		g.rates["eu-1"].ReserveN(time.Now(), agentBurst)
	}
	g.mu.Unlock()
	full, err := handIn(t.Context(), link, "a", b.Seq, 8, "eight")
	if err != nil || full.Code != AgentBusy || g.Stats.Busy.Load() == 0 {
		t.Errorf("an agent that hands in too much: %+v, %v", full, err)
	}
}

// TestBatch: a batch that an agent forged would crash the hub or take its memory.
func TestBatch(t *testing.T) {
	big := []Parcel{{3, []byte("x")}, {4, nil}, {9, []byte(strings.Repeat("abc", 5000))}}
	body, encoding := packBatch(big)
	got, err := unpackBatch(body, encoding)
	if err != nil || encoding != encodingZstd || len(got) != 3 || got[2].N != 9 || string(got[2].Data) != string(big[2].Data) {
		t.Fatalf("%v %q %v", got, encoding, err)
	}
	bomb, _ := packBatch([]Parcel{{1, make([]byte, 64<<20)}})
	for name, b := range map[string][]byte{
		"cut": body[:len(body)-3], "a bomb": bomb, "nonsense": []byte("hello"),
	} {
		if _, err := unpackBatch(b, encodingZstd); !errors.Is(err, errBatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{"number 0": {0, 0}, "too short": {1, 5, 1}, "falling": {2, 0, 1, 0}, "twice": {2, 0, 2, 0}, "no length": {1}, "huge": {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}} {
		if _, err := unpackBatch(b, ""); !errors.Is(err, errBatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzBatch(f *testing.F) {
	// A batch that an agent forged would crash the hub.
	body, encoding := packBatch([]Parcel{{3, []byte("x")}, {9, []byte(strings.Repeat("abc", 500))}})
	f.Add(body, encoding)
	f.Add([]byte{1, 1, 'x'}, "")
	f.Fuzz(func(t *testing.T, body []byte, encoding string) {
		ps, err := unpackBatch(body, encoding)
		total := 0
		for _, p := range ps {
			total += len(p.Data)
		}
		if err == nil && total > batchBytes+recordMax+batchRecords*20 {
			t.Errorf("%d bytes out of %d", total, len(body))
		}
	})
}

// TestAgentKey: an agent's key would be readable by others, or another one after a restart.
func TestAgentKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.seed")
	first, err := EnsureAgentKey(path)
	if err != nil || !ValidAgentKey(first) {
		t.Fatalf("%s, %v", first, err)
	}
	if again, err := EnsureAgentKey(path); err != nil || again != first {
		t.Errorf("after a restart %s, %v; before %s", again, err, first)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureAgentKey(path); err == nil {
		t.Error("a key that others can read is taken")
	}
}

// TestLinkWithoutTLS: an agent would show what its cluster runs to everybody on the way to the hub.
func TestLinkWithoutTLS(t *testing.T) {
	s := listeningServer(t)
	_, seed := agentKey(t, "eu-1")
	_, port, _ := strings.Cut(strings.TrimPrefix(s.ClientURL(), "nats://"), ":")
	for _, c := range []struct {
		url   string
		plain bool
		tls   bool
	}{{"nats://127.0.0.1:" + port, false, false}, {"tls://127.0.0.1:" + port, false, true}, {"nats://hub.example:4222", false, true}, {"nats://hub.example:4222", true, false}, {"nats://127.0.0.1:1,nats://hub.example:1", false, true}} {
		l, err := DialHub(LinkConfig{URL: c.url, Cluster: "eu-1", SeedFile: seed, Plaintext: c.plain})
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if l.conn.Opts.Secure != c.tls {
			t.Errorf("%s, plaintext allowed %v: TLS is %v", c.url, c.plain, l.conn.Opts.Secure)
		}
		l.Close()
	}
}

// TestAgentTLS: an agent could not reach a hub with TLS, or would hand in what its cluster runs to one that it cannot verify.
func TestAgentTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	other, _ := certificate(t)
	s, err := StartServer(ServerConfig{DataDir: t.TempDir(), Listen: "127.0.0.1:0", TLSCert: cert, TLSKey: key, Users: []User{{RoleAdmin, "admin", "pw"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	serveGate(t, openTestLog(t, Config{Server: s}), GateConfig{})
	eu, seed := agentKey(t, "eu-1")
	if err := s.SetAgents([]AgentKey{eu}); err != nil {
		t.Fatal(err)
	}
	_, stranger := agentKey(t, "eu-1")
	_, address, _ := strings.Cut(s.ClientURL(), "://")
	dial := func(c LinkConfig) (*AgentLink, chan error) {
		why := make(chan error, 64)
		c.Cluster, c.URL = "eu-1", "tls://"+address
		c.Changed = func(connected bool, err error) {
			select {
			case why <- err:
			default:
			}
		}
		l, err := DialHub(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		return l, why
	}
	l, _ := dial(LinkConfig{SeedFile: seed, CAFile: cert})
	eventually(t, 5*time.Second, "connected over TLS", func() bool { return l.conn.IsConnected() })
	if _, err := l.conn.TLSConnectionState(); err != nil {
		t.Errorf("the connection is not over TLS: %v", err)
	}
	if a, err := handIn(t.Context(), l, "a", 0, 1, "one"); err != nil || a.Code != "" || a.N != 1 {
		t.Errorf("over TLS: %+v, %v", a, err)
	}
	for name, c := range map[string]LinkConfig{"another authority": {SeedFile: seed, CAFile: other}, "the system's authorities": {SeedFile: seed}, "another key": {SeedFile: stranger, CAFile: cert}} {
		l, why := dial(c)
		select {
		case err := <-why:
			if err == nil || l.conn.IsConnected() {
				t.Errorf("%s: got in", name)
			}
			t.Logf("%s: %v", name, err)
		case <-time.After(10 * time.Second):
			t.Errorf("%s: nothing is heard", name)
		}
	}
}
