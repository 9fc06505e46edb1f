package layers

import (
	"slices"
	"strings"
)

// floors are the root packages in the order of the table in ARCHITECTURE.md: each may import those of lower floors.
var floors = map[string]int{
	"bus": 1, "mesh": 2, "slo": 3, "authz": 3, "ingest": 4, "autoscaler": 4, "failover": 4,
}

// stages are pure packages below a floor: what is a stage or vocabulary of one, and no shell. Shells may import them as they do their parent.
var stages = []string{"slo/notify", "mesh/member", "mesh/inventory", "mesh/calls", "ingest/watch", "mesh/spiffe", "mesh/trust", "mesh/traffic", "mesh/discovery", "mesh/istio"}

// suites are what tests of several packages share; only tests import them.
var suites = []string{"bus/logtest", "mesh/meshtest"}

// A family is a set of third-party packages that only some folders may name.
type family struct {
	prefixes []string
	homes    []string // folders; "x/" is all below x; a name that begins with "/" is any folder of that name, and all below it
}

// families says where third-party packages are at home. Who adds a dependency adds it here, with its one home.
var families = []family{
	{[]string{"github.com/nats-io/", "github.com/synadia-io/"}, []string{"bus/jetstream"}},
	{[]string{"github.com/open-policy-agent/"}, []string{"authz/opa"}},
	{[]string{"k8s.io/", "sigs.k8s.io/", "istio.io/"}, []string{"/kube", "cmd/evenkeel-metrics"}},
	{[]string{"github.com/prometheus/prometheus/promql/"}, []string{"slo/promql", "slo/promtest", "slo/rules"}},
	{[]string{"github.com/prometheus/prometheus/promql", "github.com/prometheus/prometheus/storage", "github.com/prometheus/prometheus/template",
		"github.com/prometheus/prometheus/util/annotations", "github.com/prometheus/prometheus/tsdb/chunks"}, []string{"slo/rules"}},
	{[]string{"github.com/prometheus/prometheus/util/junitxml"}, []string{"slo/promtest"}},
	{[]string{"github.com/prometheus/prometheus/model/"}, []string{"slo/promql", "slo/promtest", "slo/rules", "ingest/scrape", "ingest/history"}},
	{[]string{"github.com/prometheus/prometheus/tsdb/chunkenc"}, []string{"ingest/history", "slo/rules"}},
	{[]string{"github.com/prometheus/common/", "github.com/prometheus/client_model/"}, []string{"slo/promql", "slo/promtest", "slo/rules", "ingest/scrape", "ingest/history"}},
	{[]string{"github.com/prometheus/otlptranslator"}, []string{"ingest/otlp"}},
	{[]string{"github.com/google/go-cmp/", "golang.org/x/tools/txtar"}, suites}, // a suite is a test
	{[]string{"go.yaml.in/yaml/"}, []string{"mesh/yaml", "slo/openslo", "ingest/scrape", "cmd/"}},
	{[]string{"github.com/VictoriaMetrics/easyproto"}, []string{"ingest/remotewrite", "ingest/otlp"}},
	{[]string{"github.com/klauspost/compress/"}, []string{"ingest/remotewrite", "ingest/otlp", "ingest/scrape", "ingest/history", "bus/jetstream"}},
	{[]string{"go.opentelemetry.io/proto/", "google.golang.org/grpc", "google.golang.org/protobuf/", "google.golang.org/genproto/"}, []string{"ingest/otlp", "cmd/"}},
	{[]string{"github.com/VictoriaMetrics/metrics"}, []string{"console", "cmd/"}},
	{[]string{"github.com/spf13/"}, []string{"cmd/"}},
	{[]string{"golang.org/x/net/publicsuffix"}, []string{"mesh/gns"}},
	{[]string{"golang.org/x/sync/"}, []string{"bus/", "mesh/", "slo/", "ingest/", "console", "cmd/"}},
	{[]string{"golang.org/x/time/"}, []string{"bus/", "ingest/", "console", "cmd/"}},
}

// Imports finds the imports that the layer law forbids.
func Imports(files []*File) []Breach {
	var out []Breach
	for _, f := range files {
		for _, i := range f.Imports {
			if why := forbidden(f, i.Path); why != "" {
				out = append(out, Breach{File: f.Path, Line: i.Line, Law: why})
			}
		}
	}
	return out
}

// forbidden says why the file may not import the path, or "".
func forbidden(f *File, p string) string {
	own, ours := strings.CutPrefix(p, Module+"/")
	switch {
	case p == Module:
		return "the module's root is no package"
	case ours:
		return forbiddenOwn(f, own)
	case !strings.Contains(strings.Split(p, "/")[0], "."):
		return ""
	case f.Test, under("test", f.Dir):
		return "" // tests may take what they need
	}
	return forbiddenThirdParty(f.Dir, p)
}

func forbiddenOwn(f *File, own string) string {
	switch {
	case under("test", own) && !under("test", f.Dir):
		return "nothing imports test/"
	case f.Test, under("test", f.Dir):
		return ""
	case slices.Contains(suites, own):
		return own + " is a suite for tests"
	case slices.Contains(suites, f.Dir):
		return ""
	case roof(f.Dir):
		return ""
	case roof(own):
		return own + " is the roof: only cmd/ and console may import it"
	}
	return forbiddenBelowRoof(f.Dir, own)
}

// forbiddenBelowRoof judges an import of one floor, stage or shell by another.
func forbiddenBelowRoof(dir, own string) string {
	root, sub, _ := strings.Cut(dir, "/")
	target, targetSub, _ := strings.Cut(own, "/")
	mine, known := floors[root]
	if !known {
		return "folder " + root + " has no floor; add it to the table in test/layers and ARCHITECTURE.md"
	}
	theirs, known := floors[target]
	switch {
	case !known:
		return "folder " + target + " has no floor"
	case dir == own:
		return ""
	case sub == "" && targetSub != "":
		return "the root package of a floor imports no folder below a floor: take what you need through an interface, joined in cmd/evenkeel/app"
	case targetSub != "" && !slices.Contains(stages, own) && !(kube(dir) && own == "mesh/kube"):
		return "a shell imports no other shell: take what you need through an interface in " + root + ", joined in cmd/evenkeel/app"
	case target == root:
		return ""
	case theirs >= mine:
		return target + " does not stand under " + root
	}
	return ""
}

func forbiddenThirdParty(dir, p string) string {
	if _, root := floors[dir]; root || slices.Contains(stages, dir) {
		return "the core imports the standard library and the floors under it, nothing else"
	}
	for _, fam := range families {
		if !hasAnyPrefix(p, fam.prefixes) {
			continue
		}
		for _, h := range fam.homes {
			if at(dir, h) {
				return ""
			}
		}
		return p + " is at home in " + strings.Join(fam.homes, ", ") + " only"
	}
	return p + " belongs to no family; add it to the table in test/layers, with its one home"
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// at reports whether the folder is the home that a family names.
func at(dir, home string) bool {
	switch {
	case strings.HasPrefix(home, "/"):
		return strings.HasSuffix(dir, home) || strings.Contains(dir, home+"/")
	case strings.HasSuffix(home, "/"):
		return strings.HasPrefix(dir, home)
	}
	return dir == home
}

func under(root, dir string) bool { return dir == root || strings.HasPrefix(dir, root+"/") }

func roof(dir string) bool { return under("console", dir) || under("cmd", dir) }

// kube reports whether the folder is named kube, or stands below one that is.
func kube(dir string) bool { return at(dir, "/kube") }
