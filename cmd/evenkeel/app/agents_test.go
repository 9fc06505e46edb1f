package app

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/cmd/evenkeel/agent"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh/inventory"
)

// A cluster is an agent of one cluster under test, with a hand on what it sees.
type attached struct {
	t        *testing.T
	settings agent.Settings
	log      *syncBuffer
	pods     chan string // that come
	stop     context.CancelFunc
	done     chan error
}

// observe tells of a listing and then of each pod that comes.
func (c *attached) observe(ctx context.Context, scope inventory.Scope, sink agent.Sink) error {
	name, n := fmt.Sprint(time.Now().UnixNano()), uint64(0)
	known := []inventory.Instance{}
	tell := func(o inventory.Observation) error {
		o.Version, o.Cluster, o.At = inventory.ObservationVersion, c.settings.Cluster, bus.TimeOf(time.Now())
		for {
			o.Observer, o.Number = name, n+1
			err := sink(ctx, o)
			switch {
			case err == nil:
				n++
				return nil
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, agent.ErrRelist):
				name, n = name+"'", 0
				o.Phase, o.Instances = inventory.PhaseListed, known
			}
		}
	}
	spaces := []inventory.Namespace{{Name: "shop"}}
	if err := tell(inventory.Observation{Phase: inventory.PhaseListed, Info: &inventory.Info{Version: "v1.37.2"}, Namespaces: spaces}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case pod := <-c.pods:
			i := inventory.Instance{Namespace: "shop", Name: pod, Service: "cart", Version: "v1", State: inventory.StateHealthy}
			known = append(known, i)
			if err := tell(inventory.Observation{Phase: inventory.PhaseWatching, Instances: []inventory.Instance{i}}); err != nil {
				return err
			}
		}
	}
}

func (c *attached) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.stop, c.done = cancel, make(chan error, 1)
	go func() {
		c.done <- agent.Run(ctx, c.settings, agent.Surroundings{Logger: slog.New(slog.NewTextHandler(c.log, nil)), Observe: c.observe})
	}()
}

// end stops the agent and returns how it ended.
func (c *attached) end() error {
	c.stop()
	return <-c.done
}

// attach attaches a cluster and returns its agent, which does not run yet, and its token.
func attach(t *testing.T, e *engine, name string) (*attached, console.AttachAnswer) {
	t.Helper()
	body, err := json.Marshal(console.AttachRequest{Name: name, Labels: map[string]string{"env": "prod"}, Manifest: console.ManifestRequest{Hub: "https://hub.example.com", Image: "evenkeel:1"}})
	if err != nil {
		t.Fatal(err)
	}
	status, b := e.do("POST", "/api/v1/clusters", e.admin, body)
	var a console.AttachAnswer
	if err := json.Unmarshal(b, &a); err != nil || status != 200 || len(a.Token) < 40 {
		t.Fatalf("attach: %d %s", status, b)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(a.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &attached{t: t, log: &syncBuffer{}, pods: make(chan string), settings: agent.Settings{Hub: e.at.HTTP, Cluster: name, TokenFile: file, Data: t.TempDir()}}
	return c, a
}

func clusterState(e *engine, name string) string {
	e.t.Helper()
	var in console.MeshList[inventory.ClusterView]
	e.get("/api/v1/clusters", &in)
	for _, v := range in.Items {
		if v.Name == name {
			return fmt.Sprintf("%s %d", v.State, v.Instances)
		}
	}
	return ""
}

func awaitCluster(e *engine, c *attached, name, want string) {
	e.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for clusterState(e, name) != want {
		if time.Now().After(deadline) {
			e.t.Fatalf("cluster %s is %q, want %q\nagent:\n%s\nhub:\n%s", name, clusterState(e, name), want, c.log, e.log)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// If it fails, a cluster cannot be attached, its agent loses what it saw while the hub or itself was away, or something of it stays when it has left.
func TestAgentsLife(t *testing.T) {
	port := freePort(t)
	data := t.TempDir()
	settings := Settings{Data: data, NATSListen: port, HTTP: freePort(t)}
	e := start(t, settings, Surroundings{})
	c, a := attach(t, e, "eu-1")
	if got := clusterState(e, "eu-1"); got != "Pending 0" {
		t.Errorf("after attach: %s", got)
	}
	c.start()
	awaitCluster(e, c, "eu-1", "Ready 0")
	c.pods <- "cart-1"
	awaitCluster(e, c, "eu-1", "Ready 1")

	// The hub is away.
	e.stop()
	c.pods <- "cart-2"
	c.pods <- "cart-3"
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	c.start() // and the agent begins again, with a listing
	c.pods <- "cart-4"
	e2 := start(t, settings, Surroundings{})
	awaitCluster(e2, c, "eu-1", "Ready 1") // it is a new life of the fake observer, which knows of one pod
	c.pods <- "cart-5"
	awaitCluster(e2, c, "eu-1", "Ready 2")

	// Somebody else shows the token.
	thief := *c
	thief.log, thief.settings.Data = &syncBuffer{}, t.TempDir()
	thief.start()
	if err := <-thief.done; !errors.Is(err, agent.ErrRefused) || !strings.Contains(err.Error(), inventory.RefusedTokenUsed) {
		t.Errorf("a second agent with the token: %v", err)
	}

	if status, b := e2.do("DELETE", "/api/v1/clusters/eu-1?dryRun=true", e2.admin, nil); status != 200 || !strings.Contains(string(b), "kubectl delete") || clusterState(e2, "eu-1") != "Ready 2" {
		t.Errorf("a dry run of detach: %d %s", status, b)
	}
	if status, b := e2.do("DELETE", "/api/v1/clusters/eu-1", e2.admin, nil); status != 200 {
		t.Fatalf("detach: %d %s", status, b)
	}
	if err := <-c.done; err != nil {
		t.Errorf("the agent ended with %v\n%s", err, c.log)
	}
	awaitCluster(e2, c, "eu-1", "")
	entries, err := os.ReadDir(c.settings.Data)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	c.start()
	if err := <-c.done; err != nil {
		t.Errorf("an agent that has left comes back: %v", err)
	}
	for name, text := range map[string]string{"the hub's log": e.log.String() + e2.log.String(), "the agent's log": c.log.String() + thief.log.String()} {
		if strings.Contains(text, a.Token) {
			t.Errorf("the token stands in %s", name)
		}
	}
}

// If it fails, somebody without a token learns which clusters there are or speaks for one, or a token is made by who may not.
func TestAttachRefuses(t *testing.T) {
	e := start(t, Settings{NATSListen: freePort(t)}, Surroundings{})
	_, a := attach(t, e, "eu-1")
	public, err := jetstream.EnsureAgentKey(filepath.Join(t.TempDir(), "seed"))
	if err != nil {
		t.Fatal(err)
	}
	key := `"` + public + `"`
	for _, c := range []struct {
		method, path, token, body string
		status                    int
		want                      string
	}{
		{"POST", "/api/v1/clusters", "", `{}`, 401, ""},
		{"POST", "/api/v1/clusters", e.sender, `{}`, 403, ""},
		{"POST", "/api/v1/clusters", e.admin, `{"name":"eu-1","manifest":{"hub":"https://h","image":"i"}}`, 409, "renew"},
		{"POST", "/api/v1/clusters", e.admin, `{"name":"EU","manifest":{"hub":"https://h","image":"i"}}`, 422, "DNS label"},
		{"POST", "/api/v1/clusters", e.admin, `{"name":"eu-2","manifest":{"hub":"http://h","image":"i"}}`, 422, "https"},
		{"POST", "/api/v1/clusters", e.admin, `{"name":"eu-2","manifest":{"hub":"https://h","image":"i\n- evil"}}`, 422, "image"},
		{"POST", "/api/v1/clusters", e.admin, `{"name":"eu-2","ttl":"90d","manifest":{"hub":"https://h","image":"i"}}`, 422, "30 days"},
		{"POST", "/api/v1/clusters", e.admin, `{"name":"eu-2","renew":true,"manifest":{"hub":"https://h","image":"i"}}`, 404, "NotFound"},
		{"DELETE", "/api/v1/clusters/eu-9", e.admin, ``, 404, "NotFound"},
		{"POST", "/api/v1/clusters/eu-1/enrol", "", `{"token":"wrong","publicKey":` + key + `}`, 403, "TokenWrong"},
		{"POST", "/api/v1/clusters/eu-9/enrol", "", `{"token":"wrong","publicKey":` + key + `}`, 403, "TokenWrong"},
		{"POST", "/api/v1/clusters/eu-1/enrol", "", `{"token":"` + a.Token + `","publicKey":"x"}`, 400, "BadBody"},
		{"POST", "/api/v1/clusters/eu-1/enrol", "", `{"token":"` + a.Token + `","publicKey":` + key + `}`, 200, "nats://:"},
		{"POST", "/api/v1/clusters/eu-1/enrol", "", `{"token":"` + a.Token + `","publicKey":` + key + `}`, 200, "nats://:"},
		{"POST", "/api/v1/clusters", e.admin, `{"name":"eu-1","renew":true,"manifest":{"hub":"https://h","image":"i"}}`, 200, "token"},
		{"POST", "/api/v1/clusters/eu-1/enrol", "", `{"token":"` + a.Token + `","publicKey":` + key + `}`, 403, "TokenWrong"},
	} {
		status, b := e.do(c.method, c.path, c.token, []byte(c.body))
		if status != c.status || !strings.Contains(string(b), c.want) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", c.method, c.path, c.body, status, b, c.status, c.want)
		}
	}
	var defs struct{ Items []struct{ Source string } }
	e.get("/api/v1/definitions?kind=Cluster", &defs)
	if len(defs.Items) != 1 || strings.Contains(defs.Items[0].Source, a.Token) || !strings.Contains(defs.Items[0].Source, "env: prod") {
		t.Errorf("the definition: %+v", defs.Items)
	}
}

// If it fails, what people give to kubectl is no YAML, holds more than it should, or does not hold what the agent needs.
func TestManifest(t *testing.T) {
	for _, storage := range []string{"", "none"} {
		text, err := manifest("eu-1", "t0ken", "tls://:4222", &console.ManifestRequest{Hub: "https://hub.example.com:7480", Image: "evenkeel:1", Storage: storage, CA: testCA(t)})
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for d := yaml.NewDecoder(strings.NewReader(text)); ; {
			var o struct {
				Kind     string
				Metadata struct{ Labels map[string]string }
				Rules    []struct {
					Resources, Verbs []string
					Names            []string `yaml:"resourceNames"`
					URLs             []string `yaml:"nonResourceURLs"`
				}
			}
			if err := d.Decode(&o); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			kinds = append(kinds, o.Kind)
			if o.Metadata.Labels[manifestLabel] != "eu-1" {
				t.Errorf("%s has no label by which it is deleted", o.Kind)
			}
			for _, r := range o.Rules {
				want := "list watch"
				if len(r.Names)+len(r.URLs) == 1 {
					want = "get"
				}
				if strings.Join(r.Verbs, " ") != want || strings.Contains(strings.Join(r.Resources, " "), "secrets") {
					t.Errorf("the agent may %v %v", r.Verbs, r.Resources)
				}
			}
		}
		want := "Namespace ServiceAccount ClusterRole ClusterRoleBinding Secret ConfigMap PersistentVolumeClaim NetworkPolicy Deployment"
		if storage == "none" {
			want = strings.Replace(want, "PersistentVolumeClaim ", "", 1)
		}
		if got := strings.Join(kinds, " "); got != want || strings.Count(text, "t0ken") != 1 || strings.Contains(text, "PRIVATE") {
			t.Errorf("%s\n%s", got, text)
		}
	}
}

// testCA is a PEM text with a certificate, and with a key that must go nowhere.
func testCA(t *testing.T) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("y")}))
}

// freePort is an address that is free now, for what must be there again after a restart.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
