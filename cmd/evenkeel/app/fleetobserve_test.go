package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"evenkeel.dev/mesh/kube"
)

// A listed fleet lists what the test says.
type listed struct {
	name     string
	clusters []fleetCluster
	err      error
}

func (l *listed) Name() string { return l.name }

func (l *listed) Clusters(context.Context) ([]fleetCluster, error) { return l.clusters, l.err }

// A fleet that cannot be read for a minute would end the observation of all its clusters, or two clusters of one name would take turns in the inventory.
func TestFleetsKeepWhatTheyHad(t *testing.T) {
	there := &kube.Connection{Host: "https://192.0.2.1"}
	a, b := &listed{name: "a", clusters: []fleetCluster{{Name: "eu-1", REST: there}, {Name: "eu-2", Reason: "attach an agent"}}}, &listed{name: "b", clusters: []fleetCluster{{Name: "us-1", REST: there}}}
	var log bytes.Buffer
	f := &fleetClusters{
		a: &app{observers: []*observed{{name: "home"}}}, fleets: []fleet{a, b}, logger: slog.New(slog.NewTextHandler(&log, nil)), last: map[string][]fleetCluster{}, running: map[string]*fleetObserver{},
		noted: map[string]bool{},
	}
	expect := func(when string, want ...string) {
		t.Helper()
		if got := slices.Sorted(maps.Keys(f.wanted(t.Context()))); !slices.Equal(got, want) {
			t.Errorf("%s: %v is observed, not %v", when, got, want)
		}
	}
	expect("at first", "eu-1", "us-1")
	a.err = errors.New("no answer")
	expect("one fleet is away", "eu-1", "us-1")
	expect("it is still away", "eu-1", "us-1")
	if n := strings.Count(log.String(), "no answer"); n != 1 {
		t.Errorf("the log says so %d times", n)
	}
	a.err, a.clusters = nil, nil
	expect("it has no clusters any more", "us-1")
	b.clusters = append(b.clusters, fleetCluster{Name: "home", REST: there})
	expect("a name that --observe has", "us-1")
	a.clusters, b.clusters = []fleetCluster{{Name: "us-1", REST: &kube.Connection{Host: "https://192.0.2.66"}}, {Name: "us-2", REST: there}}, []fleetCluster{{Name: "us-1", REST: there}}
	expect("two fleets have a name: who had it first keeps it", "us-1")
	if c := f.wanted(t.Context())["us-1"]; c.REST != there {
		t.Errorf("us-1 is another cluster now: %+v", c)
	}
	b.err = errors.New("away for a minute")
	expect("another fleet claims a name while its own cannot be read", "us-1")
	b.clusters, b.err = nil, nil
	expect("a cluster moves to another fleet", "us-1", "us-2")
	if !strings.Contains(log.String(), "attach an agent") || !strings.Contains(log.String(), "--observe home") {
		t.Errorf("the log does not say why: %s", log.String())
	}
}
