package app

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/fleet/tmc"
)

func fleetConfig(server string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: x, clusters: [{name: c, cluster: {server: %q}}], contexts: [{name: x, context: {cluster: c, user: u}}], users: [{name: u, user: {token: t}}]}", server)
}

// fleetFolder makes a folder of kubeconfigs, by file name.
func fleetFolder(t *testing.T, servers map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, server := range servers {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(fleetConfig(server)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// If it fails, wrong fleets in the settings are found out only while the engine runs, or right ones are refused.
func TestFleetSettings(t *testing.T) {
	folder := fleetFolder(t, map[string]string{"management.conf": "https://127.0.0.1:1"})
	management := &ClusterAPIFleet{Kubeconfig: folder + "/management.conf"}
	tanzu := &MissionControlFleet{URL: "https://org.tmc.example.com", TokenFile: "token"}
	for _, c := range []struct {
		fleets []Fleet
		want   string // "" is right
	}{
		{nil, ""},
		{[]Fleet{{KubeconfigFolder: folder}, {ClusterAPI: management, Prefix: "m-"}, {TanzuMissionControl: tanzu, Name: "tanzu"}}, ""},
		{[]Fleet{{}}, "item 1: it has 0 of"},
		{[]Fleet{{KubeconfigFolder: folder}, {KubeconfigFolder: folder, ClusterAPI: management}}, "item 2: it has 2 of"},
		{[]Fleet{{KubeconfigFolder: folder, Prefix: "-x"}}, `prefix "-x"`},
		{[]Fleet{{KubeconfigFolder: folder, Prefix: "Eu_"}}, `prefix "Eu_"`},
		{[]Fleet{{KubeconfigFolder: folder}, {KubeconfigFolder: folder}}, "give it a name of its own"},
		{[]Fleet{{ClusterAPI: &ClusterAPIFleet{Kubeconfig: folder + "/management.conf", Context: "lost"}}}, `no context "lost"`},
		{[]Fleet{{ClusterAPI: &ClusterAPIFleet{Kubeconfig: folder + "/management.conf", Selector: "a=b=c"}}}, "selector"},
		{[]Fleet{{TanzuMissionControl: &MissionControlFleet{URL: "http://org.tmc.example.com", TokenFile: "token"}}}, "https://"},
		{[]Fleet{{TanzuMissionControl: &MissionControlFleet{URL: "https://org.tmc.example.com"}}}, "API token"},
	} {
		s := &Settings{Sections: Sections{Fleets: c.fleets}}
		fleets, err := s.fleets(nil)
		if c.want == "" && (err != nil || len(fleets) != len(c.fleets)) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: got %v, %v; want %q", c.fleets, fleets, err, c.want)
		}
	}
	s := &Settings{Data: "data", HTTP: "127.0.0.1:1", Sections: Sections{Fleets: []Fleet{{}}}}
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "fleets: item 1") {
		t.Errorf("run would take it: %v", err)
	}
}

// If it fails, a cluster changes its name from one minute to the next, or gets one that is no DNS label, and its SLOs and events are another cluster's.
func TestClusterLabels(t *testing.T) {
	for name, want := range map[string]string{
		"eu-1": "eu-1", "Prod_EU": "prod-eu", "admin@prod.example.com": "admin-prod-example-com", "日本": "cluster-cf2abf0c5b", "日本2": "2", "": "cluster-e3b0c44298",
		"arn:aws:eks:eu-central-1:123456789012:cluster/production-frankfurt-1": "arn-aws-eks-eu-central-1-123456789012-cluster-prod-1ff9c27d68",
	} {
		got := clusterLabel(name)
		if got != want || mesh.LabelHint(got) != "" {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func fuzzed(name string) string { return clusterLabel("p-" + name) }

// If it fails, some name of a cluster makes a name that other parts refuse, and the cluster is never observed.
func FuzzClusterLabel(f *testing.F) {
	f.Add("a")
	f.Add(strings.Repeat("a-", 40))
	f.Add(strings.Repeat("é", 61))
	f.Fuzz(func(t *testing.T, name string) {
		for _, got := range []string{clusterLabel(name), fuzzed(name)} {
			if hint := mesh.LabelHint(got); hint != "" || clusterLabel(got) != got {
				t.Errorf("%q: got %q: %s", name, got, hint)
			}
		}
	})
}

// If it fails, two clusters are taken for one, and what runs in one hides what runs in the other.
func TestFleetCollision(t *testing.T) {
	folder := fleetFolder(t, map[string]string{"prod_eu.conf": "https://127.0.0.1:1", "prod-eu.yaml": "https://127.0.0.1:2", "us.yaml": "https://127.0.0.1:3"})
	s := &Settings{Sections: Sections{Fleets: []Fleet{{Name: "f", KubeconfigFolder: folder}}}}
	fleets, err := s.fleets(nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = "fleet f: prod-eu.yaml, context x of fleet f and prod_eu.conf, context x of fleet f would both be the cluster prod-eu; rename one, or give a fleet a prefix"
	if got, err := fleets[0].Clusters(t.Context()); got != nil || err == nil || err.Error() != want {
		t.Errorf("got %v, %v\nwant %s", got, err, want)
	}
}

// If it fails, what the fleet manager says of a cluster is lost, or a cluster without a way to it has no reason.
func TestFleetOfMissionControl(t *testing.T) {
	list := fromMissionControl(func(context.Context) ([]tmc.Cluster, error) {
		return []tmc.Cluster{
			{Name: "us", From: "a/b/us", Phase: "UPGRADING", Health: "DISCONNECTED"},
			{Name: "eu", From: "a/b/eu", Labels: map[string]string{"env": "prod"}, Region: "eu-west-1", Phase: "READY", Health: "HEALTHY"},
			{Name: "big", From: "a/b/big", Labels: map[string]string{"x": strings.Repeat("y", fleetLabelBytes)}},
		}, nil
	})
	got, err := (&namedFleet{name: "tanzu", prefix: "t-", list: list}).Clusters(t.Context())
	want := []fleetCluster{
		{Name: "t-big", From: "a/b/big", Reason: attachAgent + "; its labels take more than 32768 bytes and are left out"},
		{Name: "t-eu", From: "a/b/eu", Labels: map[string]string{"env": "prod"}, Region: "eu-west-1", Reason: attachAgent},
		{Name: "t-us", From: "a/b/us", Reason: attachAgent + "; phase UPGRADING; Tanzu Mission Control has no connection to it"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// If it fails, the dry run says that a cluster answers which does not, or one fleet that cannot be read hides the others.
func TestKnownClusters(t *testing.T) {
	cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" {
			t.Errorf("asked %s", r.URL)
		}
		fmt.Fprint(w, `{"gitVersion":"v1.37.2"}`)
	}))
	defer cluster.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	folder := fleetFolder(t, map[string]string{"eu.yaml": cluster.URL, "us.yaml": closed.URL, "xx.yaml": "http://far.example.com"})
	s := &Settings{Sections: Sections{Fleets: []Fleet{{Name: "gone", KubeconfigFolder: folder + "/gone"}, {Name: "f", KubeconfigFolder: folder, Prefix: "a-"}, {Name: "g", KubeconfigFolder: folder, Prefix: "b-"}}}}
	got, err := KnownClusters(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), "fleet gone: ") || strings.Contains(err.Error(), "fleet f") {
		t.Errorf("got %v", err)
	}
	want := []KnownCluster{
		{Name: "a-eu", Fleet: "f", From: "eu.yaml, context x", Reachable: true, Version: "v1.37.2"}, {Name: "a-us", Fleet: "f", From: "us.yaml, context x"}, {Name: "a-xx", Fleet: "f", From: "xx.yaml"},
		{Name: "b-eu", Fleet: "g", From: "eu.yaml, context x", Reachable: true, Version: "v1.37.2"}, {Name: "b-us", Fleet: "g", From: "us.yaml, context x"}, {Name: "b-xx", Fleet: "g", From: "xx.yaml"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(KnownCluster{}, "Reason")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, want := range []string{"", "refused", "without TLS", "", "refused", "without TLS"} {
		if (want == "") != (got[i].Reason == "") || !strings.Contains(got[i].Reason, want) {
			t.Errorf("%s: reason %q, want %q", got[i].Name, got[i].Reason, want)
		}
	}
}
