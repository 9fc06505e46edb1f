package inventory

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/logtest"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A world drives one stage and notes what it tells.
type world struct {
	t   testing.TB
	s   *Stage
	now bus.Time
	out []bus.Draft
	n   map[string]uint64

	tape []bus.Record // all that was taken
}

func newWorld(t testing.TB) *world {
	return &world{t: t, s: New(), now: 1_800_000_000_000, n: map[string]uint64{}}
}

func (w *world) step(subject string, v any) []bus.Draft {
	w.t.Helper()
	data, ok := v.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(v); err != nil {
			w.t.Fatal(err)
		}
	}
	r := bus.Record{Time: w.now, Subject: subject, Data: data}
	w.tape = append(w.tape, r)
	out, err := w.s.Step(&r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.out = append(w.out, out...)
	return out
}

// see sends the next observation of a cluster's observer.
func (w *world) see(o Observation) []bus.Draft {
	w.t.Helper()
	key := o.Cluster + "/" + o.Observer
	w.n[key]++
	o.Version, o.Number, o.At = ObservationVersion, w.n[key], w.now
	return w.step(Subject(o.Cluster), o)
}

func (w *world) tick(seconds int) (out []bus.Draft) {
	w.t.Helper()
	for range seconds {
		w.now += bus.Second
		out = append(out, w.step(bus.SubjectTick, []byte("{}"))...)
	}
	return out
}

func (w *world) define(kind mesh.Kind, name string, v any) []bus.Draft {
	w.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	d := mesh.Definition{Ref: mesh.Ref{APIVersion: kind.APIVersion, Kind: kind.Kind, Namespace: "default", Name: name}, Compiled: b}
	return w.step(mesh.SubjectChange, mesh.Change{Accepted: true, Set: []mesh.Definition{d}})
}

func (w *world) undefine(kind mesh.Kind, name string) []bus.Draft {
	return w.step(mesh.SubjectChange, mesh.Change{Accepted: true, Deleted: []mesh.Ref{{APIVersion: kind.APIVersion, Kind: kind.Kind, Namespace: "default", Name: name}}})
}

// lines renders drafts as a golden file shows them.
func lines(ds []bus.Draft) string {
	var b strings.Builder
	for _, d := range ds {
		if d.Event == nil {
			continue
		}
		fmt.Fprintf(&b, "%s %s\n", bus.PublicSubject(d.Subject), d.Data)
	}
	return b.String()
}

func pod(name, version, state string) Instance {
	i := Instance{
		Namespace: "shop", Name: name, Service: "cart", Version: version, Workload: "Deployment/cart", Node: "n1", IP: "10.0.0.1", State: state, Account: "cart",
		Images: []Image{{Container: "cart", Name: "cart:" + version, Digest: "sha256:" + version}}, Labels: map[string]string{"app": "cart"},
	}
	if state != StateHealthy {
		i.Reason = "ContainerCreating"
	}
	return i
}

func deployment(desired int) Workload {
	return Workload{Kind: "Deployment", Namespace: "shop", Name: "cart", Service: "cart", Labels: map[string]string{"app": "cart"}, Desired: desired}
}

func listing(cluster, observer string, instances ...Instance) Observation {
	return Observation{
		Cluster: cluster, Observer: observer, Phase: PhaseListed, Info: &Info{Version: "v1.37.2"}, Namespaces: []Namespace{{Name: "shop"}}, Nodes: []Node{{Name: "n1", Ready: true}},
		Workloads: []Workload{deployment(2)}, Hosts: []Host{{Namespace: "shop", Name: "cart", Selector: map[string]string{"app": "cart"}, Ports: []Port{{Port: 80, Protocol: "TCP"}}}}, Instances: instances,
	}
}

func shop(clusters ...string) member.GlobalNamespace {
	g := member.GlobalNamespace{Name: "shop", Domain: "shop.internal", Conditions: []member.Condition{{Namespace: &member.Pattern{Type: member.Exact, Match: "shop"}}}}
	for _, c := range clusters {
		g.AcceptedFrom = append(g.AcceptedFrom, member.Accept{Cluster: c})
	}
	return g
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (rewrite with -update): %s", path, diff)
	}
}

func TestStoryOfARollOut(t *testing.T) {
	// Who subscribes would not see a roll-out as a new version under the same service, a dark cluster with what was known of it (SAFETY 13), or what joins a global namespace and a group.
	w := newWorld(t)
	var b strings.Builder
	tell := func(title string, ds []bus.Draft) { fmt.Fprintf(&b, "# %s\n%s", title, lines(ds)) }
	tell("the cluster is defined", w.define(mesh.KindCluster, "eu-1", ClusterSpec{Name: "eu-1", Region: "eu"}))
	tell("the first part of its listing", w.see(Observation{Cluster: "eu-1", Observer: "o1", Phase: PhaseListing, Info: &Info{Version: "v1.37.2"}, Namespaces: []Namespace{{Name: "shop"}}}))
	o := listing("eu-1", "o1", pod("cart-1", "v1", StateHealthy), pod("cart-2", "v1", StateHealthy))
	tell("and the last", w.see(o))
	tell("a global namespace takes it in", w.define(mesh.KindGlobalNamespace, "shop", shop("eu-1")))
	tell("a group of carts", w.define(mesh.KindResourceGroup, "carts", member.Group{
		Name: "carts", GlobalNamespace: "shop", Kind: member.KindService, Rules: member.Rules{Fn: member.And, Match: []member.Match{{Type: member.TypeName, Fn: member.StartsWith, Value: "cart"}}},
	}))
	tell("the next tick", w.tick(1))
	tell("a new version comes up", w.see(Observation{Cluster: "eu-1", Observer: "o1", Phase: PhaseWatching, Instances: []Instance{pod("cart-3", "v2", StateWarning)}}))
	tell("it is ready", w.see(Observation{Cluster: "eu-1", Observer: "o1", Phase: PhaseWatching, Instances: []Instance{pod("cart-3", "v2", StateHealthy)}}))
	tell("the old one goes", w.see(Observation{Cluster: "eu-1", Observer: "o1", Phase: PhaseWatching, Gone: []Key{{KindInstance, "shop", "cart-1"}}}))
	tell("nothing is heard for 31 s", w.tick(31))
	tell("it comes back", w.see(Observation{Cluster: "eu-1", Observer: "o1", Phase: PhaseWatching}))
	tell("the global namespace lets go of it", w.define(mesh.KindGlobalNamespace, "shop", shop("us-1")))
	tell("the next tick", w.tick(1))
	tell("the cluster is deleted", w.undefine(mesh.KindCluster, "eu-1"))
	golden(t, "rollout.txt", b.String())
}

func TestLeftOut(t *testing.T) {
	// A cluster with one object over a bound would seem to have hundreds, one more with each sign of life.
	w := newWorld(t)
	o := listing("eu-1", "o1")
	o.Left = 2
	w.see(o)
	for range 3 {
		w.see(Observation{Cluster: "eu-1", Observer: "o1", Phase: PhaseWatching, Left: 2})
	}
	if got := w.s.Clusters()[0].Left; got != 2 {
		t.Errorf("left out: %d, not 2", got)
	}
	w.see(Observation{Cluster: "eu-1", Observer: "o1", Phase: PhaseWatching})
	if got := w.s.Clusters()[0].Left; got != 0 {
		t.Errorf("left out after there was room: %d", got)
	}
}

func TestNewStageOnAnOldLog(t *testing.T) {
	// After an upgrade the inventory would not know of the global namespaces that were defined before, and nobody would be a member.
	w := newWorld(t)
	asked := 0
	for _, d := range append(w.tick(2), w.see(listing("eu-1", "o1"))...) {
		if d.Subject == mesh.SubjectRestate {
			asked++
		}
	}
	state, err := w.s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	w.s = New()
	if err := w.s.Restore(state); err != nil {
		t.Fatal(err)
	}
	for _, d := range w.tick(2) {
		if d.Subject == mesh.SubjectRestate {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("the definitions were asked for %d times, not once", asked)
	}
	c := mesh.NewCatalogue(mesh.Bounds{})
	p, _ := json.Marshal(mesh.Proposal{ID: "p", Author: "a", ManagedBy: "api", Set: []mesh.Definition{{
		Ref: mesh.Ref{APIVersion: "v", Kind: "K", Namespace: "default", Name: "n"}, Spec: json.RawMessage("{}"), Digest: mesh.Digest([]byte("{}")), Compiled: json.RawMessage("{}"), GlobalNamespace: "default", Source: "s",
	}}})
	said := ""
	for i, r := range []bus.Record{{Subject: mesh.SubjectProposal, Data: p}, {Subject: mesh.SubjectRestate, Data: []byte("{}")}, {Subject: bus.SubjectTick}} {
		r.Seq, r.Time = uint64(i+1), bus.Time(i+1)*bus.Second
		out, err := c.Step(&r)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range out {
			if said += "\n"; i != 1 {
				said += string(d.Data)
			}
		}
	}
	if !strings.Contains(said, mesh.ReasonRestated) || !strings.Contains(said, `"name":"n"`) {
		t.Errorf("the catalogue answers a new stage with %q", said)
	}
}

func TestGroupBeforeItsServices(t *testing.T) {
	// A group that is defined before what it holds would stay empty.
	w := newWorld(t)
	w.define(mesh.KindGlobalNamespace, "shop", shop("eu-1"))
	w.define(mesh.KindResourceGroup, "carts", member.Group{
		Name: "carts", GlobalNamespace: "shop", Kind: member.KindService, Rules: member.Rules{Fn: member.And, Match: []member.Match{{Type: member.TypeName, Fn: member.StartsWith, Value: "cart"}}},
	})
	w.tick(2)
	w.see(listing("eu-1", "o1", pod("cart-1", "v1", StateHealthy), pod("cart-2", "v1", StateHealthy)))
	w.tick(2)
	if g := w.s.Groups(); len(g) != 1 || len(g[0].Resources) != 1 || g[0].Ready != 2 {
		t.Errorf("the group is %+v", g)
	}
}

func TestOrderOfObservations(t *testing.T) {
	// A repeated observation would count twice, and a lost one would leave instances that are gone.
	w := newWorld(t)
	w.see(listing("eu-1", "o1", pod("cart-1", "v1", StateHealthy)))
	last := Observation{Version: ObservationVersion, Cluster: "eu-1", Observer: "o1", Number: 1, Phase: PhaseListed}
	if out := w.step(Subject("eu-1"), last); len(out) != 0 || w.s.stats.Repeated != 1 {
		t.Errorf("a repeated observation gave %s", lines(out))
	}
	if out := w.step(Subject("us-1"), Observation{Version: ObservationVersion, Cluster: "eu-1", Observer: "o9", Number: 1, Phase: PhaseListed}); len(out) != 0 || w.s.stats.Refused != 1 {
		t.Errorf("an observation under another cluster's subject gave %s", lines(out))
	}
	if out := w.step(Subject("eu-1"), Observation{Version: ObservationVersion, Cluster: "eu-1", Observer: "o0", Number: 7, Phase: PhaseWatching, Gone: []Key{{KindInstance, "shop", "cart-1"}}}); len(out) != 0 {
		t.Errorf("an observer that was followed by another is heard: %s", lines(out))
	}
	w.n["eu-1/o1"]++ // one is lost
	w.see(Observation{Cluster: "eu-1", Observer: "o1", Phase: PhaseWatching, Instances: []Instance{pod("cart-9", "v1", StateHealthy)}})
	if got := w.s.Standing("eu-1"); !got.Missed || got.Observer != "o1" {
		t.Errorf("after a gap it stands so: %+v", got)
	}
	if c := w.s.Clusters()[0]; c.State != ClusterConnected || c.Instances != 1 {
		t.Errorf("after a gap the cluster is %+v", c)
	}
	w.see(listing("eu-1", "o2", pod("cart-2", "v1", StateHealthy)))
	if c := w.s.Clusters()[0]; c.State != ClusterReady || c.Instances != 1 || w.s.Standing("eu-1").Missed {
		t.Errorf("after the new listing the cluster is %+v", c)
	}
	if got := w.s.Instances(func(_, _, _ string) bool { return true }); len(got) != 1 || got[0].Name != "cart-2" {
		t.Errorf("after the new listing the instances are %+v", got)
	}
}

func TestIsolation(t *testing.T) {
	// Who may see one global namespace only would learn names of another's services and instances by the subjects.
	w := newWorld(t)
	w.define(mesh.KindGlobalNamespace, "shop", shop("eu-1"))
	bank := shop("us-1")
	bank.Name, bank.Domain = "bank", "bank.internal"
	w.define(mesh.KindGlobalNamespace, "bank", bank)
	w.see(listing("eu-1", "o1", pod("cart-1", "v1", StateHealthy)))
	w.see(listing("us-1", "o2", pod("cart-2", "v1", StateHealthy)))
	for _, d := range w.out {
		subject := bus.PublicSubject(d.Subject)
		if strings.Contains(subject, ".shop.") && strings.HasPrefix(strings.SplitN(subject, ".", 4)[3], "shop.") && bytes.Contains(d.Data, []byte(`"us-1"`)) {
			t.Errorf("an event of shop tells of the cluster of bank: %s %s", subject, d.Data)
		}
	}
	for _, v := range w.s.Services() {
		if want := map[string]string{"shop": "eu-1", "bank": "us-1"}[v.GlobalNamespace]; len(v.Clusters) != 1 || v.Clusters[0] != want || v.Name != "cart" {
			t.Errorf("service %+v", v)
		}
	}
}

func TestEventsAreEnough(t *testing.T) {
	// A consumer that has nothing but the events would end with another picture than the engine's.
	w := newWorld(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	services, instances := map[string]ServiceEvent{}, map[string]InstanceEvent{}
	for range 600 {
		w.churn(rnd)
	}
	w.tick(1)
	for _, d := range w.out {
		if d.Event == nil {
			continue
		}
		switch d.Event.Type {
		case EventService:
			var e ServiceEvent
			fold(t, d, services, &e, func() string { return e.Action })
		case EventInstance:
			var e InstanceEvent
			fold(t, d, instances, &e, func() string { return e.Action })
		}
	}
	dark := 0
	for _, v := range w.s.Services() {
		for _, p := range v.Places {
			key := bus.EventSubject("mesh", "service", p.GlobalNamespace, p.Service, p.Cluster, p.Namespace)
			got, ok := services[key]
			if !ok || !equalEvents(&got, &p) {
				t.Errorf("%s: the events say %+v, the engine %+v", key, got, p)
			}
			delete(services, key)
		}
	}
	for _, v := range w.s.Instances(func(_, _, _ string) bool { return true }) {
		key := bus.EventSubject("mesh", "instance", v.GlobalNamespace, v.Service, v.Cluster, v.Namespace, v.Name)
		got, ok := instances[key]
		if v.Reason == "ClusterDark" {
			dark++
		} else if !ok || !equalInstances(&got.Instance, &v.Instance) {
			t.Errorf("%s: the events say %+v, the engine %+v", key, got, v)
		}
		delete(instances, key)
	}
	if len(services)+len(instances) > 0 {
		t.Errorf("the events know more: %v %v", services, instances)
	}
}

func fold[T any](t *testing.T, d bus.Draft, m map[string]T, e *T, action func() string) {
	t.Helper()
	if err := json.Unmarshal(d.Data, e); err != nil {
		t.Fatal(err)
	}
	switch _, known := m[d.Subject]; {
	case action() == ActionDeleted && !known, action() == ActionUpdated && !known, action() == ActionCreated && known:
		t.Errorf("%s is %s, and known: %v", d.Subject, action(), known)
	case action() == ActionDeleted:
		delete(m, d.Subject)
		return
	}
	m[d.Subject] = *e
}

// churn does one thing of those that happen to clusters.
func (w *world) churn(rnd *rand.Rand) {
	cluster := []string{"eu-1", "us-1"}[rnd.IntN(2)]
	observer := fmt.Sprintf("%s-%d", cluster, w.now/(40*bus.Second))
	some := func() Instance {
		i := pod(fmt.Sprintf("cart-%d", rnd.IntN(5)), fmt.Sprintf("v%d", rnd.IntN(3)), []string{StateHealthy, StateWarning, StateError}[rnd.IntN(3)])
		i.Service = []string{"cart", "web"}[rnd.IntN(2)]
		return i
	}
	switch rnd.IntN(10) {
	case 0:
		w.see(listing(cluster, observer+"x"+fmt.Sprint(len(w.out)), some(), some()))
	case 1:
		w.define(mesh.KindGlobalNamespace, "shop", shop([]string{"eu-1", "us-1", "ap-1"}[rnd.IntN(3)]))
	case 2:
		w.tick(rnd.IntN(40))
	case 3:
		w.undefine(mesh.KindGlobalNamespace, "shop")
	default:
		c := w.s.clusters[cluster]
		if c == nil || c.observer == "" {
			w.see(listing(cluster, observer, some()))
			return
		}
		o := Observation{Cluster: cluster, Observer: c.observer, Phase: PhaseWatching, Instances: []Instance{some()}}
		if rnd.IntN(3) == 0 {
			o.Instances, o.Gone = nil, []Key{{KindInstance, "shop", fmt.Sprintf("cart-%d", rnd.IntN(5))}}
		}
		w.n[cluster+"/"+c.observer] = c.number
		w.see(o)
	}
}

func TestCutAnywhere(t *testing.T) {
	// A restart would make the stage tell something else than it would have told.
	for seed := range uint64(20) {
		w, rnd := newWorld(t), rand.New(rand.NewPCG(seed, 7))
		v := newWorld(t)
		for i := range 120 {
			before, from := len(w.out), len(w.tape)
			w.churn(rnd)
			if i%7 == 3 {
				v.s = logtest.Restart(t, fmt.Sprintf("seed %d, step %d", seed, i), v.s, New())
			}
			got := logtest.Play(t, v.s, w.tape[from:])
			if diff := cmp.Diff(lines(w.out[before:]), lines(got)); diff != "" {
				t.Fatalf("seed %d, step %d: %s", seed, i, diff)
			}
		}
	}
}
