//go:build peers

package fleet

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/test/cluster"
)

// definition is Cluster API's CRD as far as a fleet knows it.
const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: clusters.cluster.x-k8s.io}
spec:
  group: cluster.x-k8s.io
  names: {kind: Cluster, listKind: ClusterList, plural: clusters, singular: cluster}
  scope: Namespaced
  versions:
    - {name: v1beta1, served: true, storage: false, schema: &any {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
    - {name: %s, served: true, storage: true, schema: *any}
`

func object(version, namespace, name, phase string) string {
	return fmt.Sprintf("---\napiVersion: cluster.x-k8s.io/%s\nkind: Cluster\nmetadata: {name: %s, namespace: %s, labels: {env: prod, topology.kubernetes.io/region: eu-central-1}}\nstatus: {phase: %s}\n", version, name, namespace, phase)
}

func secret(namespace, name, text string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s-kubeconfig, namespace: %s}\ntype: cluster.x-k8s.io/secret\ndata: {value: %s}\n", name, namespace, base64.StdEncoding.EncodeToString([]byte(text)))
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// With the documented rights a management cluster would not be read, or clusters that answer would be called unreachable.
func TestPeersFleet(t *testing.T) {
	c := cluster.Start(t, cluster.Config{})
	c.Namespace("evenkeel-system")
	c.Namespace("clusters")
	c.Apply(read(t, "../../deploy/kubernetes/fleet-rbac.yaml"))
	c.Apply(fmt.Sprintf(definition, "v1beta2"))
	own := read(t, c.Kubeconfig)
	c.Apply(object("v1beta2", "clusters", "shop", "Provisioned") + object("v1beta2", "clusters", "new", "Provisioning") + object("v1beta1", "clusters", "lost", "Provisioned") + object("v1beta2", "default", "other", "Provisioned") + secret("clusters", "shop", own))
	account := c.WithToken("fleet", c.Token("evenkeel-system", "fleet"))

	folder := t.TempDir()
	for name, text := range map[string]string{"eu-1.yaml": own, "us-1.conf": "hello"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	api := func(namespace string) *app.ClusterAPIFleet {
		return &app.ClusterAPIFleet{Kubeconfig: account, Namespace: namespace, Selector: "env=prod"}
	}
	s := &app.Settings{Sections: app.Sections{Fleets: []app.Fleet{
		{Name: "folder", KubeconfigFolder: folder}, {Name: "capi", ClusterAPI: api("clusters"), Prefix: "capi-"}, {Name: "all", ClusterAPI: api("")},
	}}}
	known, err := app.KnownClusters(t.Context(), s)
	if err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.Contains(err.Error(), "fleet all: ") || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("without rights in all namespaces: %v", err)
	}
	var got []string
	for _, k := range known {
		got = append(got, fmt.Sprintf("%s | %s | %v %v | %s | %s", k.Name, k.From, k.Reachable, k.Version != "", k.Region, k.Reason))
	}
	want := []string{
		"eu-1 | eu-1.yaml, context context | true true |  | ",
		"us-1 | us-1.conf | false false |  | us-1.conf: kubeconfig: the text is no kubeconfig in YAML or JSON",
		"capi-lost | clusters/lost | false false | eu-central-1 | there is no Secret clusters/lost-kubeconfig",
		"capi-shop | clusters/shop | true true | eu-central-1 | ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
