package layers

import (
	"fmt"
	"strings"
	"testing"
)

func parse(t *testing.T, name, text string) *File {
	t.Helper()
	f, err := Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A layer law that finds nothing in a bad file would let the house fall down in silence.
func TestImportsFinds(t *testing.T) {
	for _, c := range []struct {
		file, imported string
		bad            bool
	}{
		{"bus/a.go", "evenkeel.dev/mesh", true},
		{"bus/a.go", "evenkeel.dev/bus/jetstream", true},
		{"bus/a.go", "github.com/nats-io/nats.go", true},
		{"bus/a.go", "golang.org/x/sync/errgroup", true},
		{"bus/a.go", "encoding/json", false},
		{"bus/jetstream/a.go", "github.com/nats-io/nats.go/jetstream", false},
		{"bus/jetstream/a.go", "evenkeel.dev/bus", false},
		{"bus/jetstream/a.go", "evenkeel.dev/bus/webhook", true},
		{"bus/jetstream/a.go", "evenkeel.dev/slo", true},
		{"bus/webhook/a.go", "github.com/nats-io/nats.go", true},
		{"bus/webhook/a.go", "evenkeel.dev/bus/logtest", true},
		{"bus/webhook/a_test.go", "evenkeel.dev/bus/logtest", false},
		{"mesh/gns/a.go", "evenkeel.dev/mesh/meshtest", true},
		{"mesh/gns/a_test.go", "evenkeel.dev/mesh/meshtest", false},
		{"mesh/meshtest/a.go", "evenkeel.dev/mesh/yaml", false},
		{"mesh/gns/a.go", "golang.org/x/tools/txtar", true},
		{"slo/a.go", "evenkeel.dev/mesh", false},
		{"slo/a.go", "evenkeel.dev/slo/promql", true},
		{"slo/a.go", "evenkeel.dev/ingest", true},
		{"slo/a.go", "evenkeel.dev/authz", true},
		{"slo/openslo/a.go", "evenkeel.dev/slo/promql", true},
		{"slo/openslo/a.go", "evenkeel.dev/slo/notify", false},
		{"slo/notify/a.go", "evenkeel.dev/slo", false},
		{"slo/notify/a.go", "github.com/google/go-cmp/cmp", true},
		{"ingest/a.go", "evenkeel.dev/slo", false},
		{"ingest/otlp/a.go", "evenkeel.dev/ingest", false},
		{"ingest/otlp/a.go", "evenkeel.dev/autoscaler", true},
		{"ingest/otlp/a.go", "evenkeel.dev/cmd/evenkeel/app", true},
		{"ingest/otlp/a.go", "github.com/some/where", true},
		{"failover/kube/a.go", "evenkeel.dev/mesh/kube", false},
		{"failover/kube/a.go", "k8s.io/client-go/kubernetes", false},
		{"mesh/kube/definition/a.go", "k8s.io/client-go/dynamic", false},
		{"mesh/kube/definition/a.go", "evenkeel.dev/mesh/member", false},
		{"mesh/kube/definition/a.go", "evenkeel.dev/mesh/yaml", true},
		{"mesh/kubeless/a.go", "k8s.io/client-go/dynamic", true},
		{"mesh/kube/a.go", "k8s.io/api/core/v1", false},
		{"mesh/a.go", "k8s.io/api/core/v1", true},
		{"console/a.go", "k8s.io/client-go/kubernetes", true},
		{"test/cluster/a.go", "k8s.io/client-go/kubernetes", false},
		{"failover/dns/a.go", "k8s.io/client-go/kubernetes", true},
		{"authz/opa/a.go", "github.com/open-policy-agent/opa/v1/rego", false},
		{"authz/extauthz/a.go", "github.com/open-policy-agent/opa/v1/rego", true},
		{"console/a.go", "evenkeel.dev/bus/jetstream", false},
		{"cmd/evenkeel/app/a.go", "evenkeel.dev/bus/jetstream", false},
		{"cmd/evenkeel/app/a.go", "evenkeel.dev/test/peer", true},
		{"slo/a_test.go", "evenkeel.dev/test/peer", true},
		{"test/chaos/a.go", "evenkeel.dev/test/peer", false},
		{"unheard/a.go", "evenkeel.dev/bus", true},
	} {
		f := parse(t, c.file, fmt.Sprintf("package a\nimport _ %q\n", c.imported))
		if got := Imports([]*File{f}); (len(got) > 0) != c.bad {
			t.Errorf("%s imports %s: breaches %v, want some: %v", c.file, c.imported, got, c.bad)
		}
	}
}

// A purity law that overlooks a clock or a goroutine lets a stage give another answer after a crash.
func TestPurityFinds(t *testing.T) {
	for _, body := range []string{
		`import "time"; func f() { _ = time.Now() }`,
		`import clock "time"; func f() { _ = clock.Now }`,
		`import "time"; func f() { <-time.After(1) }`,
		`import "context"; func f(c context.Context) { context.WithTimeout(c, 1) }`,
		`func f() { go f() }`,
		`import "sync"; func f() { var w sync.WaitGroup; w.Go(f) }`,
		`import "os"; var _ = os.Stdout`,
		`import "net/http"; var _ http.Client`,
		`import "log/slog"; var _ slog.Level`,
		`import "math/rand/v2"; var _ = rand.Int`,
		`import "crypto/rand"; var _ = rand.Reader`,
		`import . "strings"; var _ = Trim`,
		`func f() { println(1) }`,
	} {
		for _, name := range []string{"slo/a.go", "slo/notify/a.go", "ingest/a.go"} {
			if got := Purity([]*File{parse(t, name, "package a\n"+body)}); len(got) == 0 {
				t.Errorf("%s: nothing found in %s", name, body)
			}
		}
		if got := Purity([]*File{parse(t, "bus/jetstream/a.go", "package a\n"+body)}); len(got) != 0 {
			t.Errorf("a shell may: %v", got)
		}
	}
	if got := Purity([]*File{parse(t, "slo/a.go", "package a\nimport \"time\"\nfunc f(t time.Time) int64 { return t.UnixMilli() }")}); len(got) != 0 {
		t.Errorf("arithmetic on times is no clock: %v", got)
	}
}

// A shape law that finds nothing lets unreadable and silent code in.
func TestShapeFinds(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("\n", n) }
	for _, c := range []struct{ name, text, want string }{
		{"slo/a.go", "// Package a is one.\npackage a\n" + lines(MaxFileLines), "lines; no file"},
		{"slo/a.go", "// Package a is one.\npackage a\nfunc f() {" + lines(MaxFunctionLines) + "}\n", "function f"},
		{"slo/a.go", "// Package a is one.\npackage a\nfunc init() {}\n", "no init"},
		{"slo/a.go", "package a\n", "no opening comment"},
		{"slo/a_test.go", "package a\nimport \"testing\"\nfunc TestA(t *testing.T) { t.Fail() }\n", "first comment line"},
		{"slo/a_test.go", "package a\nimport \"testing\"\n// It.\nfunc TestA(t *testing.T) { t.Skip() }\n", "no skipped tests"},
		{"slo/a_test.go", "package a\nimport (\"testing\"; \"time\")\n// It.\nfunc TestA(t *testing.T) { time.Sleep(1) }\n", "no time.Sleep"},
		{"bus/webhook/a.go", "// Package a is one.\npackage a\nimport \"time\"\nfunc f() { time.Sleep(1) }\n", "no time.Sleep"},
	} {
		got := Shape([]*File{parse(t, c.name, c.text)})
		if len(got) != 1 || !strings.Contains(got[0].Law, c.want) {
			t.Errorf("%s: got %v, want one breach with %q", c.name, got, c.want)
		}
	}
	fine := "package a\nimport \"testing\"\nfunc TestA(t *testing.T) {\n\t// What would be broken.\n\tt.Fail()\n}\n"
	if got := Shape([]*File{parse(t, "slo/a_test.go", fine)}); len(got) != 0 {
		t.Errorf("a comment in the body is fine: %v", got)
	}
}

// A text law that finds nothing lets a path of the author's machine into the docs of everybody.
func TestTextFinds(t *testing.T) {
	for _, line := range []string{"see /" + "root/x", `"/` + "work/main\"", "cd /" + "home/anna", "GOPROXY=https://proxy." + "golang.org", "https://deb." + "debian.org/debian"} {
		if got := Text("README.md", []byte("one\n"+line+"\n")); len(got) != 1 || got[0].Line != 2 {
			t.Errorf("%q: got %v, want one breach in line 2", line, got)
		}
	}
	for _, line := range []string{"GET /api/v1/work/items", "the root/branch", "https://example.com/work/x", "~/.cache/evenkeel"} {
		if got := Text("README.md", []byte(line)); len(got) != 0 {
			t.Errorf("%q is harmless: %v", line, got)
		}
	}
}
