package console

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

// A fakeMesh is a stage that is read as it is.
type fakeMesh struct {
	*inventory.Stage
	away bool
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
	step := func(subject string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Step(&bus.Record{Time: 1_700_000_010_000, Subject: subject, Data: b}); err != nil {
			t.Fatal(err)
		}
	}
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
	m := fakeMesh{Stage: twoSpaces(t)}
	s := newTestServer(t, &fakes{}, func(c *Config) { c.Mesh = m })
	for _, list := range []string{"clusters", "services", "instances", "groups", "gns"} {
		whole := ask(s, "GET", "/api/v1/"+list, tokenViewer, "")
		golden(t, "mesh-"+list+".json", whole.Body.Bytes())
		for _, query := range []string{"", "?gns=bank", "?name=cart", "?cluster=us-1", "?name=bank", "?name=shop", "?name=us-1"} {
			got := ask(s, "GET", "/api/v1/"+list+query, tokenShopViewer, "")
			if got.Code != http.StatusOK || strings.Contains(got.Body.String(), "bank") || strings.Contains(got.Body.String(), "us-1") {
				t.Errorf("%s%s: a viewer of shop was answered %d %s", list, query, got.Code, got.Body)
			}
		}
	}
	golden(t, "mesh-gns-shop.json", ask(s, "GET", "/api/v1/gns?name=shop", tokenViewer, "").Body.Bytes())
	if got := ask(s, "GET", "/api/v1/gns?name=shop", tokenShopViewer, ""); !strings.Contains(got.Body.String(), `"members":[{`) || strings.Contains(got.Body.String(), `"refused":[{`) {
		t.Errorf("a viewer of shop sees of it: %s", got.Body)
	}
	away := newTestServer(t, &fakes{}, func(c *Config) { c.Mesh = fakeMesh{away: true} })
	if got := ask(away, "GET", "/api/v1/services", tokenViewer, ""); got.Code != http.StatusServiceUnavailable {
		t.Errorf("without a copy the answer was %d", got.Code)
	}
}
