//go:build peers

package cluster

import (
	"testing"
	"time"
)

// Without its programs no test says anything about real clusters. It has a step of its own in `make test`, so that a cold build is no other
// test's time.
func TestPeersBuilt(t *testing.T) { Prepare(t) }

// A cluster that took another's pods, address or users for its own would make every story of two clusters a lie.
func TestPeersTwoClusters(t *testing.T) {
	east, west := Start(t, Config{Name: "east", Nodes: 3}), Start(t, Config{Name: "west", Nodes: 2})
	east.Deployment("shop", "cart", 30, map[string]string{"tier": "web"}, "cart:1")
	west.Deployment("shop", "cart", 4, nil, "cart:1")
	t.Logf("30 pods Ready after %.1f s", east.WaitReady("shop", "cart", 30, time.Minute).Seconds())
	west.WaitReady("shop", "cart", 4, time.Minute)
	for _, c := range []struct {
		*Cluster
		pods int
	}{{east, 30}, {west, 4}} {
		if got := len(c.Pods("shop", "app=cart")); got != c.pods {
			t.Errorf("%s has %d pods, want %d", c.Name, got, c.pods)
		}
	}
	east.Scale("shop", "cart", 7)
	t.Logf("scaled down to 7 after %.1f s", east.WaitReady("shop", "cart", 7, time.Minute).Seconds())
	west.WaitReady("shop", "cart", 4, time.Minute)
}
