package inventory

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// fleet is a listing of a cluster with so many services of ten instances each, as one observation after the other.
func fleet(services int) []Observation {
	var out []Observation
	o := Observation{Phase: PhaseListing, Info: &Info{Version: "v1.37.2"}}
	flush := func() {
		o.Version, o.Cluster, o.Observer, o.Number = ObservationVersion, "eu-1", "o1", uint64(len(out)+1)
		out = append(out, o)
		o = Observation{Phase: PhaseListing}
	}
	for i := range 20 {
		o.Namespaces = append(o.Namespaces, Namespace{Name: fmt.Sprintf("shop-%d", i), Labels: map[string]string{"team": "a"}})
	}
	for i := range services {
		ns, name := fmt.Sprintf("shop-%d", i%20), fmt.Sprintf("service-%d", i)
		labels := map[string]string{"app": name, "app.kubernetes.io/part-of": "shop"}
		o.Workloads = append(o.Workloads, Workload{Kind: "Deployment", Namespace: ns, Name: name, Service: name, Labels: labels, Desired: 10})
		o.Hosts = append(o.Hosts, Host{Namespace: ns, Name: name, Selector: map[string]string{"app": name}, Ports: []Port{{Port: 80, Protocol: "TCP"}}})
		for j := range 10 {
			o.Instances = append(o.Instances, instance(ns, name, j))
		}
		if len(o.Instances) >= 300 {
			flush()
		}
	}
	o.Phase = PhaseListed
	flush()
	return out
}

func instance(ns, service string, j int) Instance {
	return Instance{
		Namespace: ns, Name: fmt.Sprintf("%s-6d9c8f7b5-%05d", service, j), Service: service, Version: "6d9c8f7b5", Workload: "Deployment/" + service, Node: fmt.Sprintf("node-%d", j), IP: "10.1.2.3",
		Account: service, State: StateHealthy, Labels: map[string]string{"app": service}, Created: 1_800_000_000_000,
		Images: []Image{{Container: service, Name: "registry.example.com/" + service + ":1.9", Digest: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}},
	}
}

func records(b *testing.B, os []Observation) []bus.Record {
	var out []bus.Record
	for i := range os {
		data, err := json.Marshal(os[i])
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, bus.Record{Time: 1_800_000_000_000, Subject: Subject("eu-1"), Data: data})
	}
	return out
}

func spaces() mesh.Change {
	ch := mesh.Change{Accepted: true}
	for i := range 20 {
		name := fmt.Sprintf("shop-%d", i)
		g := member.GlobalNamespace{Name: name, Domain: name + ".internal", AcceptedFrom: []member.Accept{{Cluster: "eu-1"}}, Conditions: []member.Condition{{Namespace: &member.Pattern{Type: member.Exact, Match: name}}}}
		b, _ := json.Marshal(g)
		ch.Set = append(ch.Set, mesh.Definition{Ref: mesh.Ref{APIVersion: mesh.KindGlobalNamespace.APIVersion, Kind: mesh.KindGlobalNamespace.Kind, Namespace: "default", Name: name}, Compiled: b})
	}
	return ch
}

// BenchmarkListing is what a whole listing of 10,000 instances in 1,000 services and 20 global namespaces costs, and what it keeps in memory.
func BenchmarkListing(b *testing.B) {
	rs := records(b, fleet(1000))
	change, _ := json.Marshal(spaces())
	var s *Stage
	for b.Loop() {
		s = New()
		if _, err := s.Step(&bus.Record{Time: 1_800_000_000_000, Subject: mesh.SubjectChange, Data: change}); err != nil {
			b.Fatal(err)
		}
		for i := range rs {
			if _, err := s.Step(&rs[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/instance")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	state, err := s.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	if got := s.Stats(); got.Instances != 10_000 || got.Services != 1000 {
		b.Fatal(got)
	}
	runtime.KeepAlive(s)
	s = nil
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/10_000, "bytes/instance")
	b.ReportMetric(float64(len(state))/10_000, "snapshot-bytes/instance")
}

// BenchmarkChange is what a change of one instance among 10,000 costs.
func BenchmarkChange(b *testing.B) {
	s := New()
	for _, r := range records(b, fleet(1000)) {
		if _, err := s.Step(&r); err != nil {
			b.Fatal(err)
		}
	}
	n := s.clusters["eu-1"].number
	var out []bus.Record
	for i := range 1000 {
		n++
		x := instance(fmt.Sprintf("shop-%d", i%20), fmt.Sprintf("service-%d", i), 3)
		x.Restarts = int(n)
		out = append(out, records(b, []Observation{{Version: ObservationVersion, Cluster: "eu-1", Observer: "o1", Number: n, Phase: PhaseWatching, Instances: []Instance{x}}})...)
	}
	i := 0
	for b.Loop() {
		r := &out[i%len(out)]
		if i >= len(out) {
			s.clusters["eu-1"].number = n - uint64(len(out)) + uint64(i%len(out))
		}
		if _, err := s.Step(r); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
