package graph

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/mesh/calls"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (rewrite with -update): %s", path, diff)
	}
}

func at(cluster, service string) calls.EndView {
	return calls.EndView{GlobalNamespace: "shop", Cluster: cluster, Namespace: "prod", Service: service}
}

// call makes an edge of a minute.
func call(src, dst calls.EndView, requests, failed, plain uint64, bucket int) calls.CallView {
	n := calls.Counts{Requests: requests, Failed: failed, Plain: plain, Mutual: requests - plain}
	for i := bucket; i < len(n.Latency); i++ {
		n.Latency[i] = requests
	}
	return calls.CallView{Source: src, Destination: dst, Seen: "destination", Figures: n.Figures(60), Counts: n}
}

// shop has roots, a cycle, a call to itself, plaintext, errors, another global namespace, and a cycle that nobody enters.
func shop() *Graph {
	canary := call(at("eu-1", "cart"), at("us-1", "payment"), 600, 30, 0, 13)
	canary.Versions = []calls.VersionView{{Name: "v1", Figures: calls.Figures{Requests: 570}}, {Name: "v2", Figures: calls.Figures{Requests: 30}}}
	web, cart, pay := at("eu-1", "web"), at("eu-1", "cart"), at("us-1", "payment")
	unknown := calls.EndView{Service: calls.Unknown}
	return New("Calls of shop, last 15m", []calls.CallView{
		call(unknown, web, 6000, 3, 6000, 3), call(web, cart, 3000, 0, 0, 4), call(web, at("eu-1", "catalog-service-with-a-very-long-name-indeed"), 9000, 0, 0, 2), canary,
		call(pay, cart, 60, 0, 0, 14), call(cart, cart, 30, 0, 0, 0), call(pay, at("us-1", "ledger"), 600, 0, 10, 5), call(calls.EndView{Other: true}, at("us-1", "ledger"), 120, 0, 0, 5),
		call(web, pay, 1, 0, 0, 3), call(at("ap-1", "left"), at("ap-1", "right"), 5, 0, 0, 1), call(at("ap-1", "right"), at("ap-1", "left"), 5, 0, 0, 1),
	}, func(_, service string) string {
		return map[string]string{"web": "HEALTHY", "cart": "WARNING", "payment": "VIOLATION"}[service]
	})
}

// big has 60 services in four clusters and 120 edges.
func big() *Graph {
	rnd := rand.New(rand.NewPCG(1, 2))
	var vs []calls.CallView
	seen := map[[2]int]bool{}
	name := func(i int) calls.EndView { return at(fmt.Sprintf("cluster-%d", i%4), fmt.Sprintf("service-%02d", i)) }
	for len(vs) < 120 {
		a := rnd.IntN(60)
		b := min(59, a+1+rnd.IntN(14))
		if rnd.IntN(12) == 0 {
			a, b = b, a
		}
		if seen[[2]int{a, b}] {
			continue
		}
		seen[[2]int{a, b}] = true
		n := uint64(rnd.IntN(90_000))
		vs = append(vs, call(name(a), name(b), n, n/uint64(3+rnd.IntN(4000)), n*uint64(rnd.IntN(2)*rnd.IntN(2)*rnd.IntN(2)), rnd.IntN(14)))
	}
	return New("Calls, last 5m", vs, nil)
}

func TestGolden(t *testing.T) {
	// People would see another graph than there is, and who keeps pictures would see changes where there are none.
	g := shop()
	for name, write := range map[string]func(io.Writer) error{"shop.txt": g.Text, "shop.svg": g.SVG, "shop.dot": g.Dot} {
		var b, again bytes.Buffer
		if err := errors.Join(write(&b), write(&again)); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
			t.Errorf("%s: %v, or another one the second time", name, err)
		}
		golden(t, name, b.Bytes())
	}
}

var boxes = regexp.MustCompile(`<rect class="node[^"]*" x="([0-9.-]+)" y="([0-9.-]+)" width="([0-9.-]+)" height="([0-9.-]+)"`)

func TestSVG(t *testing.T) {
	// A picture that is no XML, that loads something from elsewhere, runs a script, or draws services over each other.
	hostile := at("<script>", `"><script>alert(1)</script>`+"\x00")
	nothing := New("", nil, nil)
	for name, g := range map[string]*Graph{"shop": shop(), "big": big(), "hostile": New("<b>", []calls.CallView{call(hostile, hostile, 1, 0, 0, 0)}, nil), "nothing": nothing} {
		var b bytes.Buffer
		if err := g.SVG(&b); err != nil {
			t.Fatal(err)
		}
		if dir := os.Getenv("EVENKEEL_TEST_PICTURES"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, name+".svg"), b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d := xml.NewDecoder(bytes.NewReader(b.Bytes()))
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if s, ok := tok.(xml.StartElement); ok && (s.Name.Local == "script" || s.Name.Local == "image" || s.Name.Local == "foreignObject") {
				t.Errorf("%s holds <%s>", name, s.Name.Local)
			}
		}
		for _, bad := range []string{"href", "url(", "@import", "NaN", "Inf"} {
			if strings.Contains(b.String(), bad) {
				t.Errorf("%s holds %s", name, bad)
			}
		}
		var rects [][4]float64
		for _, m := range boxes.FindAllStringSubmatch(b.String(), -1) {
			var r [4]float64
			if _, err := fmt.Sscan(strings.Join(m[1:], " "), &r[0], &r[1], &r[2], &r[3]); err != nil {
				t.Fatal(err)
			}
			for _, o := range rects {
				if r[0] < o[0]+o[2] && o[0] < r[0]+r[2] && r[1] < o[1]+o[3] && o[1] < r[1]+r[3] {
					t.Errorf("%s: services at %v and %v", name, o, r)
				}
			}
			rects = append(rects, r)
		}
		if len(rects) != len(g.Nodes) {
			t.Errorf("%s: %d services are drawn of %d", name, len(rects), len(g.Nodes))
		}
	}
}

func TestVersions(t *testing.T) {
	// A roll-out would look as one node, or a version would lose its callers.
	v := call(at("eu-1", "web"), at("eu-1", "cart"), 100, 0, 0, 3)
	for _, pair := range [][2]string{{"v1", "v1"}, {"v2", "v1"}, {"v2", "v2"}} {
		v.Versions = append(v.Versions, calls.VersionView{Caller: pair[0], Name: pair[1], Figures: calls.Figures{Requests: 10, RPS: 1}})
	}
	w := call(calls.EndView{Other: true}, at("eu-1", "web"), 1, 0, 0, 3)
	g := New("", Versions([]calls.CallView{v, w}), nil)
	var names []string
	for i := range g.Nodes {
		names = append(names, g.Nodes[i].label())
	}
	want := []string{"another global namespace", "cart v1", "cart v2", "web", "web v1", "web v2"}
	if diff := cmp.Diff(want, names); diff != "" || len(g.Edges) != 4 || g.Nodes[1].Requests != 20 {
		t.Errorf("%s, %d edges, cart v1 %+v", diff, len(g.Edges), g.Nodes[1])
	}
}

func TestTextShowsAll(t *testing.T) {
	// A call would be missing in the tree, or a cycle would never end.
	g := big()
	var b strings.Builder
	if err := g.Text(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "─ "); n != len(g.Edges) {
		t.Errorf("%d calls in the tree, want %d", n, len(g.Edges))
	}
	for i := range g.Nodes {
		if !strings.Contains(b.String(), g.Nodes[i].Service) {
			t.Errorf("%s is missing", g.Nodes[i].Service)
		}
	}
}
