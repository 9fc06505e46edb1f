package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
)

func listeningServer(t *testing.T) *Server {
	t.Helper()
	s, err := StartServer(ServerConfig{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Users: []User{
		{RoleAdmin, "admin", "pw-admin"}, {RoleIngest, "ingest", "pw-ingest"}, {RoleDecider, "decider", "pw-decider"}, {RoleResult, "result", "pw-result"}, {RoleReader, "reader", "pw-reader"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustConnect(t *testing.T, s *Server, o ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), append(o, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func event(subject, data string) bus.Message {
	return bus.Message{Subject: subject, Header: bus.Header{{Name: "Ek-From", Value: "slo.1"}, {Name: "ce-id", Value: "slo.1.7"}, {Name: "ce-time", Value: "2026-01-02T03:04:05.000Z"}}, Data: []byte(data)}
}

// TestReader: a subscriber would not see events by a plain subscription or by the stream, or could do what only Evenkeel may.
func TestReader(t *testing.T) {
	t.Parallel()
	s := listeningServer(t)
	l := openTestLog(t, Config{Server: s})
	nc := mustConnect(t, s, nats.Token("pw-reader"))
	sub, err := nc.SubscribeSync("evenkeel.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(t.Context(), bus.Commit{Checkpoint: bus.Checkpoint{Version: 1, Stage: "slo", Partition: 1, Number: 1}, Messages: []bus.Message{event("log.event.slo.alert.shop.checkout", `{"a":1}`)}}); err != nil {
		t.Fatal(err)
	}
	m, err := sub.NextMsg(10 * time.Second)
	if err != nil {
		t.Fatalf("a plain subscription sees nothing: %v", err)
	}
	if m.Subject != "evenkeel.slo.alert.shop.checkout" || m.Header.Get("ce-id") != "slo.1.7" || string(m.Data) != `{"a":1}` {
		t.Fatalf("got %s %v %s", m.Subject, m.Header, m.Data)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.OrderedConsumer(t.Context(), "EVENTS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"evenkeel.slo.>"}})
	if err != nil {
		t.Fatalf("ordered consumer: %v", err)
	}
	got, err := c.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil {
		t.Fatalf("ordered consumer: %v", err)
	}
	if got.Subject() != "evenkeel.slo.alert.shop.checkout" || got.Headers().Get("ce-id") != "slo.1.7" {
		t.Fatalf("ordered consumer got %s %v", got.Subject(), got.Headers())
	}
	st, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := st.GetLastMsgForSubject(t.Context(), "evenkeel.slo.>"); err != nil || string(raw.Data) != `{"a":1}` {
		t.Fatalf("direct get: %v %v", raw, err)
	}
	before := l.mustInfo(t).State.LastSeq
	for _, subject := range []string{"evenkeel.slo.alert.shop.x", "log.frame.1", "log.tick", "log.commit.slo.1", "heads.slo.1", "ek.beat"} {
		if err := nc.Publish(subject, []byte("forged")); err != nil {
			t.Fatal(err)
		}
	}
	for _, api := range []string{"STREAM.INFO.LOG", "STREAM.MSG.GET.LOG", "STREAM.PURGE.EVENTS", "STREAM.DELETE.EVENTS", "STREAM.LIST", "CONSUMER.CREATE.LOG.x"} {
		if m, err := nc.Request("$JS.API."+api, []byte(`{}`), 200*time.Millisecond); err == nil {
			t.Errorf("a reader may ask %s: %s", api, m.Data)
		}
	}
	if _, err := js.CreateOrUpdateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Name: "w", AckPolicy: jetstream.AckExplicitPolicy, InactiveThreshold: time.Minute}); err == nil {
		t.Error("a reader may make a consumer with acknowledgements")
	}
	push := []byte(`{"stream_name":"EVENTS","config":{"name":"p","deliver_subject":"log.frame.1","ack_policy":"none"}}`)
	if m, err := nc.Request("$JS.API.CONSUMER.CREATE.EVENTS.p", push, time.Second); err != nil || !strings.Contains(string(m.Data), "deliver_subject") {
		t.Errorf("a push consumer, by which a reader could write into LOG, got %v, %v", m, err)
	}
	if _, err := nc.Subscribe("log.>", func(*nats.Msg) { t.Error("a reader hears LOG") }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if after := l.mustInfo(t).State.LastSeq; after != before {
		t.Errorf("LOG went from %d to %d by what a reader did", before, after)
	}
}

func (l *Log) mustInfo(t *testing.T) *jetstream.StreamInfo {
	t.Helper()
	i, err := l.info(t.Context(), streamLog)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestCredentials: somebody without or with wrong credentials would get in, or somebody with right ones would not.
func TestCredentials(t *testing.T) {
	s := listeningServer(t)
	for name, o := range map[string]nats.Option{
		"none": nats.Name("x"), "wrong": nats.UserInfo("admin", "pw-reader"), "empty": nats.UserInfo("admin", ""), "internal": nats.UserInfo(adminUser, ""), "token": nats.Token("pw"),
	} {
		if nc, err := nats.Connect(s.ClientURL(), o); err == nil {
			nc.Close()
			t.Errorf("%s: got in", name)
		}
	}
	for _, o := range []nats.Option{nats.UserInfo("reader", "pw-reader"), nats.Token("pw-reader"), nats.UserInfo("admin", "pw-admin")} {
		mustConnect(t, s, o)
	}
	if _, err := StartServer(ServerConfig{DataDir: t.TempDir(), Users: []User{{Role: "king", Name: "x", Password: "y"}}}); err == nil || !strings.Contains(err.Error(), "king") {
		t.Errorf("an unknown role: %v", err)
	}
}

// TestRoles: whoever steals the credentials of one role could write what another's role decides.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := listeningServer(t)
	admin := openTestLog(t, Config{Server: s, Stages: []StageInfo{{"slo", 1}}})
	open := func(role string) *Log {
		return openTestLog(t, Config{URL: s.ClientURL(), Attach: true, Credentials: Credentials{User: role, Password: "pw-" + role}})
	}
	logs := map[string]*Log{"ingest": open("ingest"), "decider": open("decider"), "result": open("result")}
	subjects := map[string]string{"log.frame.1": "ingest", "log.observation.mesh.eu-1": "ingest", "log.tick": "decider", "log.draft.a": "decider", "log.event.a.b": "decider", "log.commit.slo.0": "decider", "log.result.notify": "result", "log.proposal.x": "result"}
	for role, l := range logs {
		for subject, who := range subjects {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if who != role {
				ctx, cancel = context.WithTimeout(t.Context(), 150*time.Millisecond)
			}
			_, err := l.Append(ctx, bus.Message{Subject: subject, Data: []byte("x")})
			cancel()
			if (err == nil) != (who == role) {
				t.Errorf("%s appends to %s: %v", role, subject, err)
			}
		}
		r, err := l.Open(t.Context(), 0)
		if err != nil {
			t.Fatalf("%s reads LOG: %v", role, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if m, err := r.Next(ctx, true); err != nil || m.Seq != 1 {
			t.Errorf("%s reads LOG: %v, %v", role, m, err)
		}
		cancel()
		r.Close()
	}
	cp := bus.Checkpoint{Version: 1, Stage: "probe", Partition: 0, Number: 1}
	c := bus.Commit{Checkpoint: cp, Messages: []bus.Message{event("log.event.a.b", "1"), event("log.event.a.b", "2")}}
	if err := logs["decider"].Commit(t.Context(), c); err != nil {
		t.Errorf("decider commits: %v", err)
	}
	if err := logs["decider"].Commit(t.Context(), c); !errors.Is(err, bus.ErrFenced) {
		t.Errorf("decider commits a second time: %v", err)
	}
	var ms []*Members
	for _, l := range []*Log{admin, logs["decider"], logs["ingest"]} {
		m, err := Join(t.Context(), MembersConfig{Log: l, Roles: []string{"slo"}})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Leave()
		ms = append(ms, m)
	}
	for i, m := range ms {
		eventually(t, 5*time.Second, fmt.Sprintf("member %d of another account sees all", i), func() bool { return len(m.List()) == 3 })
	}
	if head, err := admin.Head(t.Context(), "probe", 0); err != nil || head.Number != 1 {
		t.Errorf("head: %v, %v", head, err)
	}
	if name, err := logs["decider"].PutSnapshot(t.Context(), "probe", 0, 1, []byte("state")); err != nil {
		t.Errorf("decider keeps a snapshot %s: %v", name, err)
	}
}
