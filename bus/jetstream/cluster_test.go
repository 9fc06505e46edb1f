package jetstream

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"evenkeel.dev/bus"
)

// freeAddresses returns addresses that were free a moment ago.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		out = append(out, ln.Addr().String())
	}
	return out
}

// TestCluster: when one of three nodes dies, telemetry that was acknowledged would be lost, or nothing be taken for long.
func TestCluster(t *testing.T) {
	t.Parallel()
	addresses := freeAddresses(t, 3)
	servers, folders := make([]*Server, 3), []string{t.TempDir(), t.TempDir(), t.TempDir()}
	start := func(i int) {
		s, err := StartServer(ServerConfig{DataDir: folders[i], Name: fmt.Sprint("n", i), Listen: "127.0.0.1:0",
			Users: []User{{RoleAdmin, "admin", "pw"}}, Cluster: &ClusterConfig{Name: "c", Listen: addresses[i], Routes: addresses, User: "node", Password: "secret"}})
		if err != nil {
			t.Error(err)
			return
		}
		servers[i] = s
	}
	var wg sync.WaitGroup
	for i := range servers {
		wg.Go(func() { start(i) })
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	dead := map[int]bool{}
	t.Cleanup(func() {
		for i, s := range servers {
			if !dead[i] {
				s.Close()
			}
		}
	})
	url := servers[0].ClientURL() + "," + servers[1].ClientURL() + "," + servers[2].ClientURL()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	l, err := Open(ctx, Config{URL: url, Credentials: Credentials{User: "admin", Password: "pw"}, Replicas: 3, Stages: []StageInfo{{"add", 1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })

	run, stop := context.WithCancel(ctx)
	wg.Go(func() {
		for run.Err() == nil {
			bus.Run(run, bus.RunConfig{Log: l, Spec: adderSpec(1, false)})
		}
	})
	var acked []uint64
	var pause time.Duration
	killed := -1
	var tried uint64
	last := time.Now()
	closed := make(chan struct{})
	for n, after := uint64(1), 0; after < 200 && ctx.Err() == nil; n++ {
		if n == 200 {
			killed = leaderOf(t, l, servers)
			dead[killed] = true
			go func() { defer close(closed); servers[killed].Close() }()
		}
		select {
		case <-closed:
			after++
		default:
		}
		tried = n
		actx, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := l.Append(actx, number(n))
		cancel()
		if err == nil {
			acked = append(acked, n)
			pause = max(pause, time.Since(last))
			last = time.Now()
		}
	}
	t.Logf("%d of %d were acknowledged; the longest pause was %s", len(acked), tried, pause)
	if len(acked) < 300 {
		t.Errorf("only %d of %d were acknowledged", len(acked), tried)
	}
	if pause > 25*time.Second { // two elections, where the first is a draw, and a request that nobody answers
		t.Errorf("nothing was taken for %s", pause)
	}
	var inputs []uint64
	var sum uint64
	for _, m := range readAll(t, l) {
		switch m.Subject {
		case "log.result.add":
			inputs = append(inputs, binary.LittleEndian.Uint64(m.Data))
			sum += binary.LittleEndian.Uint64(m.Data)
		case bus.SubjectGap:
			t.Errorf("a gap at %d", m.Seq)
		}
	}
	for _, n := range acked {
		if !slices.Contains(inputs, n) {
			t.Fatalf("%d was acknowledged and is lost", n)
		}
	}
	eventually(t, 20*time.Second, "the stage has the sum of all", func() bool {
		m, err := l.lastMsg(ctx, streamLog, "log.event.add.sum")
		return err == nil && string(m.Data) == fmt.Sprint(sum)
	})
	stop()
	wg.Wait()

	// The node comes back. Were it ready before it has what the others took meanwhile, the next one would be taken down too early.
	start(killed)
	if t.Failed() {
		return
	}
	dead[killed] = false
	back, err := Open(ctx, Config{Server: servers[killed], Replicas: 3, Stages: []StageInfo{{"add", 1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { back.Close() })
	if back.Ready() == nil {
		t.Error("the node says it is ready before it can know what it lacks")
	}
	eventually(t, 30*time.Second, "the node is ready", func() bool { return back.Ready() == nil })
	for _, name := range streamNames {
		info, err := l.info(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if !servers[killed].current(info) {
			t.Errorf("the node says it is ready and lacks a part of %s: %+v", name, info.Cluster)
		}
	}
}

func leaderOf(t *testing.T, l *Log, servers []*Server) int {
	name := l.mustInfo(t).Cluster.Leader
	for i, s := range servers {
		if s.config.Name == name {
			return i
		}
	}
	t.Fatalf("no server is called %q", name)
	return -1
}

func readAll(t *testing.T, l *Log) (out []*bus.Message) {
	t.Helper()
	r, err := l.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		m, err := r.Next(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		if m == nil {
			return out
		}
		out = append(out, m)
	}
}
