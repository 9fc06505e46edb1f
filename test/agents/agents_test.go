//go:build peers

package agents

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/test/cluster"
	"evenkeel.dev/test/peer"
)

var down = flag.Duration("down", 20*time.Second, "how long the line to the hub is cut")

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s (this test needs root and network namespaces)", strings.Join(args, " "), err, out)
	}
}

// A site is a cluster and its agent, with two lines out of the agent's network namespace: to the API server and to the hub.
type site struct {
	t       *testing.T
	n       int
	name    string
	cluster *cluster.Cluster
	agent   *peer.Process
}

func (s *site) netns() string         { return fmt.Sprintf("ek%d-%d", os.Getpid(), s.n) }
func (s *site) line(to string) string { return fmt.Sprintf("ek%s%d", to, s.n) }

// wire makes a line of the namespace, and returns the address of its outer end.
func (s *site) wire(to string, net int) string {
	s.t.Helper()
	outer, inner := s.line(to), s.line(to)+"i"
	ip(s.t, "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", s.netns())
	s.t.Cleanup(func() { exec.Command("ip", "link", "del", outer).Run() }) //nolint:errcheck // it may have gone with its namespace
	ip(s.t, "addr", "add", fmt.Sprintf("10.213.%d.1/30", net), "dev", outer)
	ip(s.t, "link", "set", outer, "up")
	ip(s.t, "-n", s.netns(), "addr", "add", fmt.Sprintf("10.213.%d.2/30", net), "dev", inner)
	ip(s.t, "-n", s.netns(), "link", "set", inner, "up")
	return fmt.Sprintf("10.213.%d.1", net)
}

// forward carries connections from an address to another one until the test ends.
func forward(t *testing.T, from, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { io.Copy(in, out); in.Close() }() //nolint:errcheck // the line may break
				io.Copy(out, in)                             //nolint:errcheck // the line may break
			}()
		}
	}()
	return l.Addr().String()
}

// kubeconfig is that of the account that the manifest makes, and leads to the API server through the namespace's line.
func (s *site) kubeconfig(host, manifest string) string {
	s.t.Helper()
	s.cluster.Apply(manifest)
	path := s.cluster.WithToken("agent", s.cluster.Token("evenkeel-system", "evenkeel-agent"))
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	at := forward(s.t, host+":0", s.cluster.Link.Address)
	server := "server: https://" + s.cluster.Link.Address
	if !strings.Contains(string(text), server) {
		s.t.Fatalf("no %s in the kubeconfig", server)
	}
	out := filepath.Join(s.t.TempDir(), "kubeconfig")
	text = []byte(strings.Replace(string(text), server, "server: https://"+at+"\n    tls-server-name: 127.0.0.1", 1))
	if err := os.WriteFile(out, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func startSite(t *testing.T, n int, hub *peer.Evenkeel) *site {
	t.Helper()
	s := &site{t: t, n: n, name: fmt.Sprintf("site-%d", n)}
	s.cluster = cluster.Start(t, cluster.Config{Name: s.name, Nodes: 2})
	ip(t, "netns", "add", s.netns())
	t.Cleanup(func() { exec.Command("ip", "netns", "del", s.netns()).Run() }) //nolint:errcheck // the machine's end takes it as well
	ip(t, "-n", s.netns(), "link", "set", "lo", "up")
	api, out := s.wire("api", 100+n), s.wire("hub", n)
	nats := strings.TrimPrefix(hub.NATS, "nats://")
	_, port, _ := net.SplitHostPort(nats)
	forward(t, net.JoinHostPort(out, port), nats)
	url := "http://" + forward(t, out+":0", strings.TrimPrefix(hub.HTTP, "http://"))

	stdout, stderr, code := hub.Run("cluster", "attach", s.name, "--image", "evenkeel:test", "--hub", url, "--plaintext", "-o", "json")
	var a struct{ Token, Manifest string }
	if err := json.Unmarshal([]byte(stdout), &a); err != nil || code != 0 {
		t.Fatalf("attach ends with %d: %s %v", code, stderr, err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(a.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	s.agent = peer.Start(t, peer.Command{Name: "agent-" + s.name, Path: "ip", Dir: t.TempDir(), Args: []string{
		"netns", "exec", s.netns(), peer.Binary(t), "agent", "--hub", url, "--plaintext", "--cluster", s.name, "--token-file", token, "--data", t.TempDir(), "--kubeconfig", s.kubeconfig(api, a.Manifest),
	}})
	return s
}

// await waits until the hub knows so many instances of the cluster, and says that it is Ready; below 0 none is counted.
func (s *site) await(hub *peer.Evenkeel, state string, instances int, within time.Duration) {
	s.t.Helper()
	peer.Until(s.t, within, fmt.Sprintf("%s is %s with %d instances", s.name, state, instances), func() error {
		stdout, stderr, _ := hub.Run("get", "clusters", "-o", "json")
		var in struct {
			Items []struct {
				Name, State string
				Instances   int
			}
		}
		if err := json.Unmarshal([]byte(stdout), &in); err != nil {
			return fmt.Errorf("%w: %s", err, stderr)
		}
		for _, c := range in.Items {
			if c.Name == s.name && c.State == state && (instances < 0 || c.Instances == instances) {
				return nil
			}
		}
		return fmt.Errorf("%+v", in.Items)
	})
}

// told counts the cluster's records in LOG, and holds that their numbers in the outbox run without a gap, from 1 unless LOG has purged the first already.
func (s *site) told(hub *peer.Evenkeel) int {
	s.t.Helper()
	nc, err := nats.Connect(hub.NATS, nats.Token(hub.Token("internal")))
	if err != nil {
		s.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := js.OrderedConsumer(s.t.Context(), "LOG", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"log.observation.mesh." + s.name}})
	if err != nil {
		s.t.Fatal(err)
	}
	for n, last := 0, 0; ; n++ {
		m, err := c.Next(jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return n
		}
		got, err := strconv.Atoi(m.Headers().Get("Ek-Outbox-N"))
		if purged := n == 0 && *down > time.Minute; err != nil || got != last+1 && !purged {
			s.t.Errorf("%s: record %d in LOG has the number %d after %d: one is lost or came twice (%v)", s.name, n+1, got, last, err)
		}
		last = got
	}
}

// If it fails, what changes in a cluster while its line to the hub is cut is lost or told twice, or an agent that was detached stays.
func TestPeersLineCut(t *testing.T) {
	hub := peer.StartEvenkeel(t, peer.EvenkeelConfig{})
	hub.WaitReady(time.Minute)
	east, west := startSite(t, 1, hub), startSite(t, 2, hub)
	both := []*site{east, west}
	for i, s := range both {
		s.cluster.Deployment("shop", "cart", int32(3+i), nil, "cart:1")
	}
	for i, s := range both {
		s.await(hub, "Ready", 3+i, time.Minute)
	}
	t.Log("both clusters are Ready; the line of one is cut")
	ip(t, "link", "set", east.line("hub"), "down")
	end := time.Now().Add(*down)
	for n := int32(4); time.Now().Before(end); n++ {
		for _, s := range both {
			s.cluster.Scale("shop", "cart", 4+n%5)
		}
		<-time.After(2 * time.Second)
	}
	for _, s := range both {
		s.cluster.Scale("shop", "cart", 12)
	}
	west.await(hub, "Ready", 12, time.Minute)
	ip(t, "link", "set", east.line("hub"), "up")
	began := time.Now()
	east.await(hub, "Ready", 12, 2*time.Minute)
	t.Logf("caught up %.1f s after the line was there again; %d and %d records, each once", time.Since(began).Seconds(), east.told(hub), west.told(hub))

	if _, stderr, code := hub.Run("cluster", "detach", "site-1"); code != 0 {
		t.Fatalf("detach ends with %d: %s", code, stderr)
	}
	select {
	case <-east.agent.Ended():
	case <-time.After(time.Minute):
		t.Fatalf("the agent of a detached cluster does not end:\n%s", east.agent.Log())
	}
	if err := east.agent.Stop(); err != nil {
		t.Errorf("the agent of a detached cluster ends with %v", err)
	}
	west.await(hub, "Ready", 12, 10*time.Second)
}
