package calls

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

func TestHomesComeOverTheLog(t *testing.T) {
	// Services would be in no global namespace: what the inventory tells would not reach the picture, over the log and after a snapshot of both.
	log := bus.NewMemory()
	now := bus.Time(1_800_000_000_000)
	put := func(subject string, v any) {
		t.Helper()
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		now += bus.Second
		log.SetTime(now)
		if _, err := log.Append(context.Background(), bus.Message{Subject: subject, Data: b}); err != nil {
			t.Fatal(err)
		}
	}
	// run runs both stages to the end of the log and returns what the second one tells.
	run := func() (events []string) {
		t.Helper()
		for _, spec := range []bus.Spec{inventory.Spec(), Spec()} {
			put(bus.SubjectTick, struct{}{}) // progress is told at ticks
			ctx, cancel := context.WithCancel(context.Background())
			end := log.Last()
			var wg sync.WaitGroup
			wg.Go(func() {
				_ = bus.Run(ctx, bus.RunConfig{ // it ends as it must: cancelled
					Log: log, Spec: spec, SnapshotEvery: bus.Second, OnProgress: func(p bus.Progress) {
						if p.Seq >= end {
							cancel()
						}
					},
					OnCommit: func(_ bus.Checkpoint, ms []bus.Message) {
						for _, m := range ms {
							if strings.HasPrefix(m.Subject, SubjectCall) {
								events = append(events, m.Subject)
							}
						}
					},
				})
			})
			wg.Wait()
		}
		return events
	}
	g := member.GlobalNamespace{
		Name: "shop", Domain: "shop.internal", AcceptedFrom: []member.Accept{{Cluster: "eu-1"}},
		Conditions: []member.Condition{{Namespace: &member.Pattern{Type: member.Exact, Match: "shop"}}},
	}
	b, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	kind := mesh.KindGlobalNamespace
	put(mesh.SubjectChange, mesh.Change{Accepted: true, Set: []mesh.Definition{{Ref: mesh.Ref{APIVersion: kind.APIVersion, Kind: kind.Kind, Namespace: "default", Name: "shop"}, Compiled: b}}})
	o := inventory.Observation{Version: 1, Cluster: "eu-1", Observer: "o", Number: 1, Phase: inventory.PhaseListed, Info: &inventory.Info{}, Namespaces: []inventory.Namespace{{Name: "shop"}}}
	for _, name := range []string{"web", "cart"} {
		o.Workloads = append(o.Workloads, inventory.Workload{Kind: "Deployment", Namespace: "shop", Name: name, Service: name, Desired: 1})
	}
	put(inventory.Subject("eu-1"), o)
	first := run()
	istio := func(name string) End { return End{"Kubernetes", "shop", name} } // Istio's name of the cluster
	for i, c := range []Count{{Source: istio("web"), Destination: istio("cart"), Counts: Counts{Requests: 1, Mutual: 1}}, {Source: istio("cart"), Destination: istio("web"), Counts: Counts{Requests: 1, Mutual: 1}}} {
		put(Subject("w"), Split(Observation{Writer: "w", Number: uint64(i + 1), From: now, To: now + 1}, []Count{c})[0])
		first = append(first, run()...)
	}
	want := []string{"log.event.mesh.call.shop.cart.eu-1.shop.1", "log.event.mesh.call.shop.web.eu-1.shop.2"}
	if strings.Join(first, " ") != strings.Join(want, " ") {
		t.Errorf("told %v, want %v", first, want)
	}
}
