package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/cmd/evenkeel/app"
)

// If it fails, the section fleets of the documentation is not what the engine reads.
func TestSettingsFleets(t *testing.T) {
	s, err := settled(t, nil, nil, `
fleets:
  - kubeconfigFolder: /etc/evenkeel/clusters
  - clusterAPI: {kubeconfig: management.conf, context: m, namespace: clusters, selector: env=prod}
    prefix: capi-
  - name: tanzu
    tanzuMissionControl: {url: "https://org.tmc.cloud.vmware.com", cspURL: "https://console.cloud.vmware.com", tokenFile: tmc.token, group: prod}
`)
	want := []app.Fleet{
		{KubeconfigFolder: "/etc/evenkeel/clusters"},
		{ClusterAPI: &app.ClusterAPIFleet{Kubeconfig: "management.conf", Context: "m", Namespace: "clusters", Selector: "env=prod"}, Prefix: "capi-"},
		{Name: "tanzu", TanzuMissionControl: &app.MissionControlFleet{URL: "https://org.tmc.cloud.vmware.com", CSPURL: "https://console.cloud.vmware.com", TokenFile: "tmc.token", Group: "prod"}},
	}
	if diff := cmp.Diff(want, s.Fleets); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := settled(t, nil, nil, "fleets: [{clusterApi: {}}]"); err == nil || !strings.Contains(err.Error(), `did you mean "clusterAPI"?`) {
		t.Errorf("got %v", err)
	}
}

// If it fails, the dry run of fleets does not say which clusters would be observed, or its exit code hides that a fleet could not be read.
func TestFleetList(t *testing.T) {
	dir := t.TempDir()
	clusters := filepath.Join(dir, "clusters")
	if err := os.Mkdir(clusters, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"clusters/eu.yaml": "hello", "clusters/us\x1b[2J.yaml": "hello", "fleets.yaml": "natsListen: 127.0.0.1:9\nfleets: [{name: f, kubeconfigFolder: '" + clusters + "'}]", "none.yaml": "http: 127.0.0.1:1",
		"gone.yaml": "fleets: [{name: gone, kubeconfigFolder: '" + dir + "/nowhere'}, {name: f, kubeconfigFolder: '" + clusters + "'}]", "wrong.yaml": "fleets: [{name: f}]",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const table = `NAME   FLEET  FROM         REACHABLE  REGION  LABELS  WHY
eu     f      eu.yaml      no                         eu.yaml: kubeconfig: the text is no kubeconfig in YAML or JSON
us-2j  f      us?[2J.yaml  no                         us?[2J.yaml: kubeconfig: the text is no kubeconfig in YAML or JSON
`
	for _, c := range []struct {
		args     string
		code     int
		out, err string
	}{
		{"fleets.yaml", exitDone, table, ""},
		{"gone.yaml", exitCould, table, "fleet gone: folder of kubeconfigs"},
		{"none.yaml", exitUsage, "", "has no section fleets"},
		{"wrong.yaml", exitUsage, "", "it has 0 of kubeconfigFolder"},
		{"missing.yaml", exitUsage, "", "no such file"},
	} {
		code, out, errs := command(t, nil, "", "fleet", "list", "--settings", filepath.Join(dir, c.args))
		if code != c.code || out != c.out || !strings.Contains(errs, c.err) {
			t.Errorf("%s: exit %d, want %d\n%s\n%s", c.args, code, c.code, out, errs)
		}
	}
	code, out, _ := command(t, nil, "", "fleet", "list", "--settings", filepath.Join(dir, "fleets.yaml"), "-o", "json")
	if code != exitDone || !strings.Contains(out, `"reachable": false`) || !strings.Contains(out, `"name": "eu"`) {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, _, errs := command(t, nil, "", "fleet", "list"); code != exitUsage || !strings.Contains(errs, "--settings") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
