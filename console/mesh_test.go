package console

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

// A fakeMesh is a stage that is read as it is.
type fakeMesh struct {
	*inventory.Stage
	calls *calls.Stage
	away  bool
}

func (f fakeMesh) Calls(_ context.Context, read func(*calls.Stage)) bool {
	if !f.away {
		read(f.calls)
	}
	return !f.away
}

// stepper returns what steps a stage, always at the same moment.
func stepper(t *testing.T, s bus.Stage) func(subject string, v any) {
	return func(subject string, v any) {
		t.Helper()
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Step(&bus.Record{Time: 1_700_000_010_000, Subject: subject, Data: b}); err != nil {
			t.Fatal(err)
		}
	}
}

// seenCalls are calls within the shop, between shop and bank both ways, from nobody known, and what a sender of the bank says of a cart of the shop.
func seenCalls(t *testing.T) *calls.Stage {
	t.Helper()
	s := calls.New()
	step := stepper(t, s)
	for _, at := range [][3]string{{"shop", "cart", "eu-1"}, {"shop", "web", "eu-1"}, {"bank", "cart", "us-1"}, {"bank", "ledger", "us-1"}} {
		step(bus.EventSubject("mesh", "service", at[0], at[1], at[2], "prod"), inventory.ServiceEvent{Action: inventory.ActionCreated, GlobalNamespace: at[0], Service: at[1], Cluster: at[2], Namespace: "prod"})
	}
	eu, us := func(name string) calls.End { return calls.End{Cluster: "eu-1", Namespace: "prod", Service: name} }, func(name string) calls.End {
		return calls.End{Cluster: "us-1", Namespace: "prod", Service: name}
	}
	many := calls.Counts{Requests: 300, Failed: 30, Mutual: 300}
	many.Latency[4], many.Latency[len(many.Latency)-1] = 298, 300
	few := calls.Counts{Requests: 3, Plain: 3}
	all := []calls.Count{
		{Source: eu("web"), Destination: eu("cart"), Version: "v1", Counts: many}, {Source: eu("web"), Destination: eu("cart"), Version: "v2", Counts: few},
		{Source: us("ledger"), Destination: eu("cart"), Version: "v1", Principal: "spiffe://bank", Counts: few}, {Source: us("cart"), Destination: eu("cart"), Version: "v1", Counts: few},
		{Source: eu("web"), Destination: us("ledger"), Version: "v1", Side: calls.SideSource, Counts: few}, {Source: us("cart"), Destination: us("ledger"), Counts: few},
		{Source: calls.End{Service: calls.Unknown}, Destination: eu("web"), Counts: few}, {Source: us("cart"), Destination: eu("web"), Side: calls.SideSource, Stamp: "bank", Counts: many},
	}
	step(calls.Subject("w"), calls.Split(calls.Observation{Writer: "w", Number: 1, From: 1_699_999_980_000, To: 1_700_000_010_000}, all)[0])
	return s
}

func (f fakeMesh) Inventory(_ context.Context, read func(*inventory.Stage)) bool {
	if !f.away {
		read(f.Stage)
	}
	return !f.away
}

// twoSpaces has a shop in eu-1 and a bank in us-1, each with a service cart.
func twoSpaces(t *testing.T) *inventory.Stage {
	t.Helper()
	s := inventory.New()
	step := stepper(t, s)
	define := func(kind mesh.Kind, name string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		step(mesh.SubjectChange, mesh.Change{Accepted: true, Set: []mesh.Definition{{Ref: mesh.Ref{APIVersion: kind.APIVersion, Kind: kind.Kind, Namespace: "default", Name: name}, Compiled: b}}})
	}
	for _, at := range [][2]string{{"shop", "eu-1"}, {"bank", "us-1"}} {
		name, cluster := at[0], at[1]
		define(mesh.KindGlobalNamespace, name, member.GlobalNamespace{
			Name: name, Domain: name + ".internal", MTLS: "Strict", AcceptedFrom: []member.Accept{{Cluster: cluster}},
			Conditions: []member.Condition{{Namespace: &member.Pattern{Type: member.StartsWith, Match: "prod"}}},
		})
		define(mesh.KindResourceGroup, name+"-carts", member.Group{
			Name: name + "-carts", GlobalNamespace: name, Kind: member.KindService, Rules: member.Rules{Fn: member.And, Match: []member.Match{{Type: member.TypeName, Fn: member.Exact, Value: "cart"}}},
		})
		step(inventory.Subject(cluster), inventory.Observation{
			Version: 1, Cluster: cluster, Observer: "o", Number: 1, Phase: inventory.PhaseListed, At: 1_700_000_009_000, Info: &inventory.Info{Version: "v1.37.2"},
			Namespaces: []inventory.Namespace{{Name: "prod"}}, Nodes: []inventory.Node{{Name: "n1", Ready: true}},
			Workloads: []inventory.Workload{{Kind: "Deployment", Namespace: "prod", Name: "cart", Service: "cart", Desired: 1}},
			Instances: []inventory.Instance{{Namespace: "prod", Name: "cart-" + cluster, Service: "cart", Version: "v1", Workload: "Deployment/cart", State: inventory.StateHealthy, Created: 1_700_000_000_000}},
		})
	}
	step(bus.SubjectTick, struct{}{})
	return s
}

// A viewer of one global namespace would learn of another's clusters, services, instances or groups; or the API would change its shape unseen.
func TestMeshIsCutToTheViewer(t *testing.T) {
	m := fakeMesh{Stage: twoSpaces(t), calls: seenCalls(t)}
	s := newTestServer(t, &fakes{}, func(c *Config) { c.Mesh = m })
	for _, list := range []string{"clusters", "services", "instances", "groups", "gns", "calls"} {
		whole := ask(s, "GET", "/api/v1/"+list, tokenViewer, "")
		golden(t, "mesh-"+list+".json", whole.Body.Bytes())
		for _, query := range []string{"", "?service=ledger", "?gns=bank", "?name=cart", "?cluster=us-1", "?name=bank", "?name=shop", "?name=us-1"} {
			got := ask(s, "GET", "/api/v1/"+list+query, tokenShopViewer, "")
			if got.Code != http.StatusOK || strings.Contains(got.Body.String(), "bank") || strings.Contains(got.Body.String(), "us-1") {
				t.Errorf("%s%s: a viewer of shop was answered %d %s", list, query, got.Code, got.Body)
			}
		}
	}
	golden(t, "mesh-calls-shop.json", ask(s, "GET", "/api/v1/calls?range=15m", tokenShopViewer, "").Body.Bytes())
	if got := ask(s, "GET", "/api/v1/calls?range=2h", tokenShopViewer, ""); got.Code != http.StatusBadRequest {
		t.Errorf("range=2h was answered %d", got.Code)
	}
	golden(t, "mesh-gns-shop.json", ask(s, "GET", "/api/v1/gns?name=shop", tokenViewer, "").Body.Bytes())
	if got := ask(s, "GET", "/api/v1/gns?name=shop", tokenShopViewer, ""); !strings.Contains(got.Body.String(), `"members":[{`) || strings.Contains(got.Body.String(), `"refused":[{`) {
		t.Errorf("a viewer of shop sees of it: %s", got.Body)
	}
	away := newTestServer(t, &fakes{}, func(c *Config) { c.Mesh = fakeMesh{away: true} })
	if got := ask(away, "GET", "/api/v1/calls", tokenViewer, ""); got.Code != http.StatusServiceUnavailable {
		t.Errorf("without a copy of calls the answer was %d", got.Code)
	}
	if got := ask(away, "GET", "/api/v1/services", tokenViewer, ""); got.Code != http.StatusServiceUnavailable {
		t.Errorf("without a copy the answer was %d", got.Code)
	}
}

// What a cluster would get would be shown to who may not see it, or in another shape than scripts read; or a wish for an output that there is not would be answered with another.
func TestMeshObjectsAreForWhoSeesTheWhole(t *testing.T) {
	policy, err := json.Marshal(map[string]any{"name": "shop", "globalNamespace": "shop", "mode": "Approve", "inside": "Strict"})
	if err != nil {
		t.Fatal(err)
	}
	f := &fakes{definitions: []mesh.Definition{{Ref: mesh.Ref{APIVersion: mesh.KindCluster.APIVersion, Kind: "EncryptionPolicy", Namespace: "prod", Name: "shop"}, Compiled: policy}}}
	s := newTestServer(t, f, func(c *Config) { c.Mesh = fakeMesh{Stage: twoSpaces(t)} })
	golden(t, "mesh-objects.json", ask(s, "GET", "/api/v1/mesh/objects", tokenViewer, "").Body.Bytes())
	for query, want := range map[string]string{"?gns=shop&gateways=edge,more": `/ns/edge/*`, "?cluster=us-1&output=none": `"items":[],"findings":[{"reason":"EncryptionNotPossible","cluster":"us-1"`, "?gns=none": `"items":[],"findings":[],"isolation":[]`} {
		if got := ask(s, "GET", "/api/v1/mesh/objects"+query, tokenViewer, ""); got.Code != http.StatusOK || !strings.Contains(got.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s in it", query, got.Code, got.Body, want)
		}
	}
	if got := ask(s, "GET", "/api/v1/mesh/objects", tokenShopViewer, ""); got.Code != http.StatusForbidden {
		t.Errorf("a viewer of shop was answered %d", got.Code)
	}
	if got := ask(s, "GET", "/api/v1/mesh/objects?output=linkerd", tokenViewer, ""); got.Code != http.StatusBadRequest {
		t.Errorf("an unknown output was answered %d", got.Code)
	}
	away := newTestServer(t, f, func(c *Config) { c.Mesh = fakeMesh{away: true} })
	if got := ask(away, "GET", "/api/v1/mesh/objects", tokenViewer, ""); got.Code != http.StatusServiceUnavailable {
		t.Errorf("without a copy the answer was %d", got.Code)
	}
}

// Somebody would write Strict and not be told whose calls it refuses, or would be told of calls of a global namespace that is not theirs.
func TestPlaintextIsJudgedByThePolicy(t *testing.T) {
	policy := []byte(`{"name":"shop","globalNamespace":"shop","mode":"Observe","inside":"Strict","exceptions":[{"service":"web","mode":"Permissive","expires":1800000000000,"reason":"x"},{"service":"cart","port":9090,"mode":"Permissive","expires":1800000000000,"reason":"x"}]}`)
	f := &fakes{definitions: []mesh.Definition{{Ref: mesh.Ref{APIVersion: mesh.KindCluster.APIVersion, Kind: "EncryptionPolicy", Namespace: "prod", Name: "shop"}, Compiled: policy}}}
	s := newTestServer(t, f, func(c *Config) { c.Mesh = fakeMesh{Stage: twoSpaces(t), calls: seenCalls(t)} })
	golden(t, "mesh-plaintext.json", ask(s, "GET", "/api/v1/mesh/plaintext", tokenViewer, "").Body.Bytes())
	if got := ask(s, "GET", "/api/v1/mesh/plaintext", tokenShopViewer, ""); got.Code != http.StatusOK || strings.Contains(got.Body.String(), "ledger") || strings.Contains(got.Body.String(), "bank") {
		t.Errorf("a viewer of shop was answered %d %s", got.Code, got.Body)
	}
	if got := ask(s, "GET", "/api/v1/mesh/plaintext?gns=bank", tokenShopViewer, ""); !strings.Contains(got.Body.String(), `"items":[]`) {
		t.Errorf("a viewer of shop was answered %s", got.Body)
	}
	if got := ask(s, "GET", "/api/v1/mesh/plaintext?range=1d", tokenViewer, ""); got.Code != http.StatusBadRequest {
		t.Errorf("range=1d was answered %d", got.Code)
	}
}
