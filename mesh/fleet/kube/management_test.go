package kube

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
)

// A management is an API server as far as a fleet asks one. It answers what it knows, and fails the test on all else.
type management struct {
	t        *testing.T
	versions []string
	pages    []string          // of the list of clusters
	secrets  map[string]string // path to body; "403" forbids, "503" fails

	mu    sync.Mutex
	asked []string
}

func (m *management) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.asked = append(m.asked, r.URL.RequestURI())
	m.mu.Unlock()
	if r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer "+secret || r.UserAgent() != "evenkeel" {
		m.t.Errorf("asked %s %s with %v", r.Method, r.URL, r.Header)
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/apis/cluster.x-k8s.io":
		if m.versions == nil {
			status(w, http.StatusNotFound, "NotFound")
			return
		}
		var vs []string
		for _, v := range m.versions {
			vs = append(vs, fmt.Sprintf(`{"groupVersion":"cluster.x-k8s.io/%s","version":%q}`, v, v))
		}
		fmt.Fprintf(w, `{"kind":"APIGroup","apiVersion":"v1","name":"cluster.x-k8s.io","versions":[%s]}`, strings.Join(vs, ","))
	case strings.HasSuffix(r.URL.Path, "/clusters"):
		page := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("continue"), &page)
		next := ""
		if page+1 < len(m.pages) {
			next = fmt.Sprint(page + 1)
		}
		fmt.Fprintf(w, `{"apiVersion":"cluster.x-k8s.io/v1beta1","kind":"ClusterList","metadata":{"continue":%q},"items":[%s]}`, next, m.pages[page])
	default:
		switch body, ok := m.secrets[r.URL.Path]; {
		case !ok:
			status(w, http.StatusNotFound, "NotFound")
		case body == "403":
			status(w, http.StatusForbidden, "Forbidden")
		case body == "503":
			status(w, http.StatusInternalServerError, "InternalError")
		default:
			fmt.Fprintf(w, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"},"data":{%s}}`, body)
		}
	}
}

func status(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":%q,"code":%d}`, reason, code)
}

func object(namespace, name, phase, more string) string {
	return fmt.Sprintf(`{"apiVersion":"cluster.x-k8s.io/v1beta1","kind":"Cluster","metadata":{"namespace":%q,"name":%q%s},"status":{"phase":%q}}`, namespace, name, more, phase)
}

func value(text string) string {
	return fmt.Sprintf(`"value":%q`, base64.StdEncoding.EncodeToString([]byte(text)))
}

func (m *management) fleet(c ManagementConfig) *Management {
	m.t.Helper()
	s := httptest.NewServer(m)
	m.t.Cleanup(s.Close)
	c.REST = &rest.Config{Host: s.URL, BearerToken: secret}
	f, err := NewManagement(c)
	if err != nil {
		m.t.Fatal(err)
	}
	return f
}

// If it fails, a cluster that Cluster API has provisioned is not observed, or one that is not there yet or is being deleted is.
func TestManagementClusters(t *testing.T) {
	m := &management{t: t, versions: []string{"v1alpha4", "v1beta1", "v1beta2"}, pages: []string{
		object("team-b", "us", "Provisioned", "") + "," + object("team-a", "new", "Provisioning", ""),
		object("team-a", "eu", "Provisioned", `,"labels":{"env":"prod","topology.kubernetes.io/region":"eu-central-1"}`) + "," + object("team-a", "old", "Provisioned", `,"deletionTimestamp":"2026-01-01T00:00:00Z"`),
	}, secrets: map[string]string{
		"/api/v1/namespaces/team-a/secrets/eu-kubeconfig": value(config("https://eu", "eu-admin@eu", "other")),
		"/api/v1/namespaces/team-b/secrets/us-kubeconfig": value(config("https://us", "us-admin@us")),
	}}
	f := m.fleet(ManagementConfig{})
	if diff := cmp.Diff([]string{"eu | team-a/eu | https://eu", "us | team-b/us | https://us"}, told(t, f)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := "/apis/cluster.x-k8s.io/v1beta2/clusters?limit=250&timeout=10s"; m.asked[1] != want {
		t.Errorf("asked %s, want %s", m.asked[1], want)
	}
	clusters, err := f.Clusters(t.Context())
	if err != nil || clusters[0].Region != "eu-central-1" || clusters[0].Labels["env"] != "prod" || clusters[0].REST.BearerToken != secret || clusters[0].Revision == clusters[1].Revision {
		t.Errorf("got %+v, %v", clusters, err)
	}
}

// If it fails, a namespace or selector of the settings does not choose, or a wrong one is found out only while the engine runs.
func TestManagementChooses(t *testing.T) {
	m := &management{t: t, versions: []string{"v1beta1"}, pages: []string{""}}
	if got := told(t, m.fleet(ManagementConfig{Namespace: "team-a", Selector: "env in (prod,stage)"})); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	if want := "/apis/cluster.x-k8s.io/v1beta1/namespaces/team-a/clusters?labelSelector=env+in+%28prod%2Cstage%29&limit=250&timeout=10s"; m.asked[1] != want {
		t.Errorf("asked %s, want %s", m.asked[1], want)
	}
	for _, c := range []ManagementConfig{{}, {REST: &rest.Config{Host: "https://x"}, Namespace: "Team A"}, {REST: &rest.Config{Host: "https://x"}, Selector: "a=b=c"}} {
		if _, err := NewManagement(c); err == nil {
			t.Errorf("taken: %+v", c)
		}
	}
}

// If it fails, whoever may write a Secret of the management cluster runs programs where Evenkeel runs, or is sent its files.
func TestManagementForeignKubeconfigs(t *testing.T) {
	plainConfig := config("https://eu", "x")
	user := "user: {token: " + secret + "}"
	for name, c := range map[string]struct{ body, want string }{
		"exec":     {value(strings.ReplaceAll(plainConfig, user, "user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: id, interactiveMode: Never}}")), "program"},
		"provider": {value(strings.ReplaceAll(plainConfig, user, "user: {auth-provider: {name: oidc}}")), "program"},
		"token":    {value(strings.ReplaceAll(plainConfig, user, "user: {tokenFile: /var/run/secrets/token}")), "files of this machine"},
		"key":      {value(strings.ReplaceAll(plainConfig, user, "user: {client-certificate: a, client-key: b}")), "files of this machine"},
		"ca":       {value(strings.ReplaceAll(plainConfig, `server: "https://eu"`, `server: "https://eu", certificate-authority: /etc/shadow`)), "a file of this machine"},
		"insecure": {value(strings.ReplaceAll(plainConfig, `server: "https://eu"`, `server: "https://eu", insecure-skip-tls-verify: true`)), "insecure-skip-tls-verify"},
		"http":     {value(config("http://eu.example.com", "x")), "without TLS"},
		"userinfo": {value(config("https://a:"+secret+"@eu", "x")), "no plain URL"},
		"current":  {value(strings.Replace(config("https://eu", "x", "z"), "current-context: x", "", 1)), "no context in it is current"},
		"context":  {value(strings.Replace(plainConfig, "current-context: x", "current-context: lost", 1)), `no context "lost"`},
		"text":     {value("{" + secret), "no kubeconfig"},
		"key name": {`"kubeconfig":"eA=="`, `no key "value"`},
		"base64":   {`"value":"%"`, "no base64"},
		"large":    {value(strings.Repeat("#", MaxKubeconfig+1)), "more than 1048576 bytes"},
		"rights":   {"403", "must not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &management{t: t, versions: []string{"v1beta1"}, pages: []string{object("a", "eu", "Provisioned", "") + "," + object("a", "missing", "Provisioned", "")}, secrets: map[string]string{"/api/v1/namespaces/a/secrets/eu-kubeconfig": c.body}}
			got := told(t, m.fleet(ManagementConfig{}))
			if len(got) != 2 || !strings.HasPrefix(got[0], "eu | a/eu | no way | ") || !strings.Contains(got[0], c.want) {
				t.Errorf("got %q, want a reason with %q", got, c.want)
			}
			if len(got) != 2 || got[1] != "missing | a/missing | no way | there is no Secret a/missing-kubeconfig" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// If it fails, a management cluster that answers badly for a moment looks like one without clusters, and all observers end.
func TestManagementErrors(t *testing.T) {
	many := make([]string, MaxClusters+1)
	for i := range many {
		many[i] = object("a", fmt.Sprintf("c%d", i), "Provisioned", "")
	}
	for name, c := range map[string]struct {
		m    *management
		want string
	}{
		"not installed": {&management{}, "not installed"},
		"too old":       {&management{versions: []string{"v1alpha3", "v1alpha4"}}, "v1alpha3, v1alpha4"},
		"secret fails":  {&management{versions: []string{"v1beta1"}, pages: []string{object("a", "eu", "Provisioned", "")}, secrets: map[string]string{"/api/v1/namespaces/a/secrets/eu-kubeconfig": "503"}}, "read the Secret a/eu-kubeconfig"},
		"too many":      {&management{versions: []string{"v1beta1"}, pages: []string{strings.Join(many, ",")}}, "more than 256"},
	} {
		t.Run(name, func(t *testing.T) {
			c.m.t = t
			if got, err := c.m.fleet(ManagementConfig{}).Clusters(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, %v; want an error with %q", got, err, c.want)
			}
		})
	}
}
