package istio_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/discovery"
	"evenkeel.dev/mesh/gns"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/istio"
	"evenkeel.dev/mesh/traffic"
	"evenkeel.dev/mesh/yaml"
)

var update = flag.Bool("update", false, "write golden files")

const now bus.Time = 1_800_000_000_000 // 2027-01-15

// input reads a page: definitions.yaml, and inventory, whose lines are
//
//	cluster NAME trust=DOMAIN network=NAME region=NAME dark=MINUTES gateway=IP:PORT
//	namespace CLUSTER NAME LABEL=VALUE
//	service CLUSTER NAMESPACE NAME PORT-NAME:PORT:TARGET …   (selects app=NAME; a target of 0 is a name; a name "-" is none)
//	pod CLUSTER NAMESPACE SERVICE VERSION IP                 (with a sidecar, and the service's account; a version "-" is none)
func input(tb testing.TB, a *txtar.Archive) *istio.Input {
	tb.Helper()
	in := &istio.Input{Now: now, CACerts: map[string]map[string][]byte{}}
	for _, f := range a.Files {
		switch f.Name {
		case "definitions.yaml":
			docs, ps := yaml.Parse(f.Name, f.Data)
			kinds, err := mesh.NewKinds(gns.New(), traffic.New())
			if err != nil {
				tb.Fatal(err)
			}
			ds, more := kinds.Compile(docs, nil)
			for _, p := range append(ps, more...) {
				if !p.Warning {
					tb.Fatal(p.String())
				}
			}
			if in.GlobalNamespaces, _, err = gns.Decode(ds); err != nil {
				tb.Fatal(err)
			}
			if in.Encryption, in.Routing, err = traffic.Decode(ds); err != nil {
				tb.Fatal(err)
			}
		case "inventory":
			for _, line := range strings.Split(strings.TrimSpace(string(f.Data)), "\n") {
				seen(tb, &in.View, strings.Fields(line))
			}
		case "cacerts":
			for _, c := range strings.Fields(string(f.Data)) {
				in.CACerts[c] = map[string][]byte{"ca-cert.pem": []byte("cert of " + c), "ca-key.pem": []byte("key of " + c)}
			}
		}
	}
	return in
}

func seen(tb testing.TB, v *discovery.View, words []string) {
	tb.Helper()
	if words[0] == "cluster" {
		c := discovery.Cluster{Name: words[1]}
		for k, value := range pairs(words[2:]) {
			switch k {
			case "trust":
				c.TrustDomain = value
			case "network":
				c.Network = value
			case "region":
				c.Region = value
			case "dark":
				minutes, _ := strconv.Atoi(value)
				c.State, c.Since = discovery.Dark, now-bus.Time(minutes)*bus.Minute
			case "gateway":
				at := netip.MustParseAddrPort(value)
				c.Gateways = append(c.Gateways, discovery.Address{IP: at.Addr().String(), Port: int(at.Port())})
			}
		}
		v.Clusters = append(v.Clusters, c)
		return
	}
	var c *discovery.Cluster
	for i := range v.Clusters {
		if v.Clusters[i].Name == words[1] {
			c = &v.Clusters[i]
		}
	}
	switch w := words[2:]; words[0] {
	case "namespace":
		c.Namespaces = append(c.Namespaces, inventory.Namespace{Name: w[0], Labels: pairs(w[1:])})
	case "service":
		h := inventory.Host{Namespace: w[0], Name: w[1], Selector: map[string]string{"app": w[1]}}
		for _, p := range w[2:] {
			parts := strings.Split(p, ":")
			number, _ := strconv.Atoi(parts[1])
			target, _ := strconv.Atoi(parts[2])
			h.Ports = append(h.Ports, inventory.Port{Name: strings.Trim(parts[0], "-"), Port: number, Target: target, Protocol: "TCP"})
		}
		c.Hosts = append(c.Hosts, h)
	case "pod":
		version := strings.Trim(w[2], "-")
		labels := map[string]string{"app": w[1], "version": version}
		c.Workloads = append(c.Workloads, inventory.Workload{Kind: "Deployment", Namespace: w[0], Name: w[1] + "-" + version, Service: w[1], Version: version, Labels: labels})
		c.Instances = append(c.Instances, inventory.Instance{
			Namespace: w[0], Name: w[1] + "-" + w[3], Service: w[1], Version: version, IP: w[3], Account: w[1], State: inventory.StateHealthy, Sidecar: true, Labels: map[string]string{"app": w[1]},
		})
	default:
		tb.Fatalf("what is %q?", words)
	}
}

func pairs(words []string) map[string]string {
	out := map[string]string{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		out[k] = v
	}
	return out
}

// print writes what was compiled as people read it.
func print(tb testing.TB, r istio.Result) []byte {
	tb.Helper()
	var out bytes.Buffer
	for _, w := range r.Warnings {
		fmt.Fprintf(&out, "# %s %s %s %s: %s\n", w.GlobalNamespace, w.Cluster, w.Reason, w.Subject, w.Why)
	}
	for _, o := range r.Objects {
		text, err := yaml.Format(o.Body)
		if err != nil {
			tb.Fatal(err)
		}
		fmt.Fprintf(&out, "--- # %s, %s\n%s", o.Cluster, o.Mode, text)
	}
	return out.Bytes()
}

func pages(tb testing.TB) map[string]*txtar.Archive {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 3 {
		tb.Fatal(files, err)
	}
	out := map[string]*txtar.Archive{}
	for _, file := range files {
		if out[file], err = txtar.ParseFile(file); err != nil {
			tb.Fatal(err)
		}
	}
	return out
}

// Somebody would apply other objects than those that were reviewed, or would not be told what an output cannot do.
func TestGolden(t *testing.T) {
	for file, a := range pages(t) {
		in := input(t, a)
		got := &txtar.Archive{Comment: a.Comment}
		for _, f := range a.Files {
			if f.Name == "definitions.yaml" || f.Name == "inventory" || f.Name == "cacerts" {
				got.Files = append(got.Files, f)
			}
		}
		var why bytes.Buffer
		for _, x := range istio.Explain(in) {
			fmt.Fprintf(&why, "%s in %s: %s (%s, trust domain %s): %s\n", x.GlobalNamespace, x.Cluster, x.Setup, x.Reason, x.TrustDomain, x.Why)
		}
		got.Files = append(got.Files, txtar.File{Name: "explain", Data: why.Bytes()})
		for _, o := range istio.Outputs() {
			if wanted := strings.Fields(string(a.Comment)); len(wanted) == 0 || bytes.Contains(a.Comment, []byte("["+o.Name()+"]")) {
				got.Files = append(got.Files, txtar.File{Name: o.Name(), Data: print(t, o.Compile(in))})
			}
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(got), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if diff := cmp.Diff(string(txtar.Format(a)), string(txtar.Format(got))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}
