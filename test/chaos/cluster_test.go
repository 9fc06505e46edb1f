//go:build peers

package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/test/load"
	"evenkeel.dev/test/peer"
)

// longestPause is how long a cluster of three may take nothing when one of its nodes dies: NATS elects a leader after 4 to 9 s of
// silence; where both nodes that are left stand at the same moment, which happens, after another 4 to 9 s; and a request on its way
// to the dead node is given up after 5 s.
const longestPause = 25 * time.Second

// startCluster starts three processes with all roles whose embedded servers form one cluster with three copies of each stream.
func startCluster(t *testing.T, names []string) []*peer.Evenkeel {
	t.Helper()
	config := definitions(t, names)
	password := filepath.Join(t.TempDir(), "cluster.password")
	if err := os.WriteFile(password, []byte("a-secret-of-the-three-nodes"), 0o600); err != nil {
		t.Fatal(err)
	}
	var routes, listen []string
	for range 3 {
		a := peer.Address(t)
		listen = append(listen, a)
		routes = append(routes, fmt.Sprintf("%q", a))
	}
	var nodes []*peer.Evenkeel
	for i := range 3 {
		settings := filepath.Join(t.TempDir(), "settings.yaml")
		text := fmt.Sprintf("cluster: {name: chaos, listen: %q, routes: [%s], user: node, passwordFile: %s}\n", listen[i], strings.Join(routes, ", "), password)
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("node-%d", i+1)
		nodes = append(nodes, peer.StartEvenkeel(t, peer.EvenkeelConfig{Name: name, Config: config, Args: []string{"--settings", settings, "--nats-name", name, "--replicas", "3"}}))
	}
	for _, n := range nodes {
		n.WaitReady(2 * time.Minute)
		peer.Until(t, time.Minute, "all SLOs are there", func() error { return fresh(n, zeroes(names)) })
	}
	return nodes
}

// One node of three dies under load, each in turn: what was answered with success would be gone with it, or nobody would take
// telemetry until a person comes.
func TestPeersClusterLosesNode(t *testing.T) {
	t.Parallel()
	everySeed(t, func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 6))
		names := services(6)
		nodes := startCluster(t, names)
		var senders []*load.Sender
		for _, n := range nodes {
			senders = append(senders, sender(t, n))
		}
		d := start(t, newWorkload(names, seed, senders...))
		for k := range nodes {
			wait(t, time.Duration(1000+random.IntN(1500))*time.Millisecond)
			d.fail(names[k])
			wait(t, time.Duration(random.IntN(1500))*time.Millisecond)
			nodes[k].Kill()
			wait(t, 300*time.Millisecond)
			after := d.counts()
			for i, n := range nodes {
				if i != k {
					peer.Until(t, 45*time.Second, n.Name+" goes on without "+nodes[k].Name, func() error { return fresh(n, after) })
				}
			}
			nodes[k].Restart()
			nodes[k].WaitReady(2 * time.Minute) // now it has all that the others have, and the next may die
			peer.Until(t, time.Minute, names[k]+" has failed enough for every tier", func() error { return d.failed(names[k], 0.05) })
		}
		truth := d.end()
		if d.pause > longestPause {
			t.Errorf("nothing was taken for %v; the most is %v", d.pause, longestPause)
		}
		for _, n := range nodes {
			settled(t, n, truth, names[:len(nodes)])
		}
	})
}
