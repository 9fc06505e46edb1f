package slo

import (
	"encoding/json"
	"strings"
	"testing"

	"evenkeel.dev/bus"
)

// A subscriber would get two pages for one incident, a resolved that nothing preceded, or a record that the log refuses: over random
// troubles the drafts keep the log's contract, and each alert's events are a legal history.
func TestDraftsKeepTheContract(t *testing.T) {
	legal := map[string]string{
		"": "pending firing late", "pending": "inactive firing late", "firing": "resolved", "resolved": "pending firing late",
		"inactive": "pending firing late", "late": "pending firing late",
	}
	kinds := map[string]int{}
	for seed := range uint64(10) {
		s := newTestStage(t)
		state, id := map[string]string{}, map[string]string{}
		for _, r := range workload(t, seed, 1200) {
			ds, err := s.Step(&r)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range ds {
				public := strings.HasPrefix(d.Subject, bus.SubjectEvent)
				if public != (d.Event != nil) || d.To != bus.All || len(d.Data) == 0 {
					t.Fatalf("draft %s: event %v, to %d", d.Subject, d.Event, d.To)
				}
				if d.Event == nil || d.Event.Type != AlertEventType {
					continue
				}
				var e AlertEvent
				if err := json.Unmarshal(d.Data, &e); err != nil {
					t.Fatal(err)
				}
				key := e.SLO + "/" + e.Tier
				if !strings.Contains(legal[state[key]], e.State) {
					t.Fatalf("seed %d: %s is %s after %q", seed, key, e.State, state[key])
				}
				if same := state[key] == "firing" || state[key] == "pending"; same != (id[key] == e.ID) {
					t.Fatalf("seed %d: %s: %s has id %s after %s with %s", seed, key, e.State, e.ID, state[key], id[key])
				}
				if e.EndsAt != "" && e.EndsAt < e.StartsAt {
					t.Fatalf("seed %d: %s ends at %s before it starts at %s", seed, key, e.EndsAt, e.StartsAt)
				}
				state[key], id[key] = e.State, e.ID
				kinds[e.State]++
			}
		}
	}
	if kinds["firing"] == 0 || kinds["resolved"] == 0 {
		t.Errorf("the work loads show too little: %v", kinds)
	}
}

// A user with three replicas would see a series counted by the wrong one: the third waits, and takes over when it is the standby.
func TestThirdReplica(t *testing.T) {
	s := newSim(t)
	s.define(simObjective(t, "0.999", "30d"))
	v := 0.0
	send := func(seconds int, replicas ...string) {
		for range seconds {
			v += 10
			for _, r := range replicas {
				s.send(bus.Source{Sender: "p", Cluster: "eu", Replica: r}, point{series: "200", t: s.now, v: v})
			}
			s.flush()
			s.run(1)
		}
	}
	send(60, "a", "b", "c")
	send(60, "b", "c") // a is gone: b counts
	send(120, "c")     // b is gone: c is the standby now, and counts
	send(60, "a", "c") // a is back, as the standby
	send(60, "a")
	s.run(60)
	if got := s.status().Events.Good; got != v-10 {
		t.Errorf("counted %v, the counter grew by %v; %d fail-overs", got, v-10, s.stage.Stats.Failovers.Load())
	}
	if n := s.stage.Stats.Failovers.Load(); n != 3 {
		t.Errorf("%d fail-overs", n)
	}
}
