//go:build peers

package customresources

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/test/cluster"
)

const root = "../.."

// definitions returns the text of all files of a folder.
func manifests(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s holds %v, %v", folder, files, err)
	}
	var b strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n" + string(text))
	}
	return b.String()
}

// A server is an API server with the CRDs.
type server struct {
	*cluster.Cluster
	client dynamic.Interface
	plural map[string]string // by kind
	wide   map[string]bool   // kinds that are in no namespace
}

func start(t *testing.T, name string) *server {
	t.Helper()
	c := cluster.Start(t, cluster.Config{Name: name})
	c.Apply(manifests(t, "deploy/crds"))
	client, err := dynamic.NewForConfig(c.REST())
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Cluster: c, client: client, plural: map[string]string{}, wide: map[string]bool{}}
	list, err := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		s.look(t, &list.Items[i])
	}
	if len(s.plural) < 4 {
		t.Fatalf("the API server has %v", s.plural)
	}
	return s
}

// look notes a CRD, and tells of a condition that is not as it should be.
func (s *server) look(t *testing.T, crd *unstructured.Unstructured) {
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	scope, _, _ := unstructured.NestedString(crd.Object, "spec", "scope")
	s.plural[kind], s.wide[kind] = plural, scope == "Cluster"
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	established := false
	for _, v := range conditions {
		c := v.(map[string]any)
		established = established || c["type"] == "Established" && c["status"] == "True"
		if c["type"] == "NonStructuralSchema" && c["status"] != "False" || c["type"] == "NamesAccepted" && c["status"] != "True" {
			t.Errorf("%s: %v", crd.GetName(), c)
		}
	}
	if !established {
		t.Errorf("%s is not established: %v", crd.GetName(), conditions)
	}
}

// try asks the API server what it would say of a document, as kubectl does: strictly.
func (s *server) try(t *testing.T, d *mesh.Document) error {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(d.JSON); err != nil {
		t.Fatal(err)
	}
	r := dynamic.ResourceInterface(s.client.Resource(schema.GroupVersionResource{Group: "evenkeel.dev", Version: "v1beta1", Resource: s.plural[d.Kind]}))
	if o.SetNamespace(""); !s.wide[d.Kind] {
		o.SetNamespace("default")
		r = s.client.Resource(schema.GroupVersionResource{Group: "evenkeel.dev", Version: "v1beta1", Resource: s.plural[d.Kind]}).Namespace("default")
	}
	_, err := r.Create(t.Context(), o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	return err
}

// alone returns the mistakes that the engine finds in a document.
func alone(t *testing.T, d *mesh.Document) []mesh.Problem {
	t.Helper()
	_, ps, err := app.Check([]console.File{{Name: "object.yaml", Text: string(d.JSON)}})
	if err != nil {
		t.Fatal(err)
	}
	mistakes, _ := mesh.Mistakes(ps)
	return mistakes
}

// found returns all documents of our kinds in the docs, the examples and the test data of the tree, the wrong ones too.
func found(t *testing.T, s *server) []mesh.Document {
	t.Helper()
	var out []mesh.Document
	take := func(name, text string) {
		docs, _ := yaml.Parse(name, []byte(text)) // what cannot be read is no document
		for _, d := range docs {
			if d.APIVersion == "evenkeel.dev/v1beta1" && s.plural[d.Kind] != "" {
				out = append(out, d)
			}
		}
	}
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == ".git" || e.Name() == "bin" || e.Name() == "data"):
			return fs.SkipDir
		case e.IsDir():
			return nil
		}
		end := filepath.Ext(p)
		if end != ".md" && end != ".yaml" && end != ".txtar" {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		switch text := string(b); end {
		case ".md":
			for _, part := range strings.Split(text, "```yaml\n")[1:] {
				block, _, _ := strings.Cut(part, "```")
				take(p, block)
			}
		case ".txtar":
			for _, part := range strings.Split("\n"+text, "\n-- ")[1:] {
				_, file, _ := strings.Cut(part, "\n")
				take(p, file)
			}
		default:
			take(p, text)
			take(p, strings.ReplaceAll(strings.ReplaceAll("\n"+text, "\n# ", "\n"), "\n#", "\n")) // an example that is commented out
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The API server would refuse what the docs show, or let a typing mistake pass that only the status tells of, much later.
func TestPeersSchemas(t *testing.T) {
	t.Parallel()
	s := start(t, "schemas")
	right, wrong, late := 0, 0, 0
	for _, d := range found(t, s) {
		mistakes, err := alone(t, &d), s.try(t, &d)
		switch {
		case len(mistakes) == 0 && err != nil:
			t.Errorf("%s: the engine takes it and the API server does not: %v\n%s", d.File, err, d.JSON)
		case len(mistakes) == 0:
			right++
		case err != nil:
			wrong++
		default:
			late++
			t.Logf("only the engine refuses: %s", mistakes[0])
		}
	}
	t.Logf("of the documents in the tree both take %d, both refuse %d, and only the engine refuses %d", right, wrong, late)
	if right < 30 || wrong < 10 {
		t.Errorf("that is too few to say anything")
	}
	for _, c := range mistakes {
		d := c.document(t)
		if ps := alone(t, &d); len(ps) == 0 {
			t.Errorf("the engine takes %s", d.JSON)
		}
		if err := s.try(t, &d); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: the API server says %v, want %q", c.kind, c.spec, err, c.says)
		}
	}
}

// A mistake is the spec of a wrong object, and a part of what the API server says of it.
type mistake struct{ kind, spec, says string }

func (m *mistake) document(t *testing.T) mesh.Document {
	t.Helper()
	docs, ps := yaml.Parse("wrong.yaml", []byte("apiVersion: evenkeel.dev/v1beta1\nkind: "+m.kind+"\nmetadata: {name: wrong}\nspec: "+m.spec+"\n"))
	if len(ps) > 0 || len(docs) != 1 || !json.Valid(docs[0].JSON) {
		t.Fatalf("%s: %v", m.spec, ps)
	}
	return docs[0]
}

const (
	target = `targetRef: {kind: Service, name: a}, objective: 99%`
	plain  = target + `, sli: {source: istio, availability: {}}`
	deep   = `{fn: AND, rules: [{fn: AND, rules: [{fn: AND, rules: [{fn: AND, rules: [{fn: AND, rules: [{fn: AND, rules: [{fn: AND, rules: [{fn: AND, rules: [{fn: AND, match: [{type: Name, fn: Exact, value: a}]}]}]}]}]}]}]}]}]}`
)

var mistakes = []mistake{
	{"SLO", `{` + plain + `, objektive: 1}`, `unknown field "spec.objektive"`},
	{"SLO", `{targetRef: {kind: Service, name: a}, sli: {source: istio, availability: {}}}`, "spec.objective: Required"},
	{"SLO", `{targetRef: {kind: Pod, name: a}, objective: 99%, sli: {source: istio, availability: {}}}`, "Unsupported value"},
	{"SLO", `{targetRef: {kind: Service, name: A_b}, objective: 99%, sli: {source: istio, availability: {}}}`, "spec.targetRef.name"},
	{"SLO", `{targetRef: {kind: Service, name: a}, objective: "99", sli: {source: istio, availability: {}}}`, "spec.objective"},
	{"SLO", `{targetRef: {kind: Service, name: a}, objective: 99, sli: {source: istio, availability: {}}}`, "spec.objective"},
	{"SLO", `{targetRef: {kind: Service, name: a}, objective: 100%, sli: {source: istio, availability: {}}}`, "spec.objective"},
	{"SLO", `{targetRef: {kind: Service, name: a}, objective: 0.00%, sli: {source: istio, availability: {}}}`, "spec.objective"},
	{"SLO", `{` + target + `}`, "exactly one of sli and composite"},
	{"SLO", `{` + plain + `, composite: {members: [{service: a, slo: b}]}}`, "exactly one of sli and composite"},
	{"SLO", `{` + plain + `, window: {rolling: 30d, calendar: Month}}`, "exactly one of rolling and calendar"},
	{"SLO", `{` + plain + `, window: {rolling: 30 d}}`, "spec.window.rolling"},
	{"SLO", `{` + plain + `, window: {rolling: 30d, timeZone: UTC}}`, "timeZone belongs"},
	{"SLO", `{` + plain + `, window: {calendar: Fortnight}}`, "Unsupported value"},
	{"SLO", `{` + plain + `, onNoData: Good}`, "need a method"},
	{"SLO", `{` + plain + `, budgeting: {method: Timeslices}}`, "need a slice"},
	{"SLO", `{` + plain + `, budgeting: {slice: {length: 1m, target: 95%}}}`, "Occurrences has none"},
	{"SLO", `{` + plain + `, budgeting: {method: Timeslices, slice: {length: 1m}}}`, "needs slice.target"},
	{"SLO", `{` + plain + `, budgeting: {method: RatioTimeslices, slice: {length: 1m, target: 95%}}}`, "belongs to the method Timeslices"},
	{"SLO", `{` + plain + `, groupBy: {labels: []}}`, "spec.groupBy.labels"},
	{"SLO", `{` + plain + `, groupBy: {labels: [a], max: 1001}}`, "spec.groupBy.max"},
	{"SLO", `{` + plain + `, alerts: {burnRate: {tiers: [Page, Page]}}}`, "Duplicate"},
	{"SLO", `{` + plain + `, alerts: {budgetSpent: [1%, 2%, 3%, 4%, 5%]}}`, "spec.alerts.budgetSpent"},
	{"SLO", `{` + plain + `, alerts: {runbook: wiki}}`, "spec.alerts.runbook"},
	{"SLO", `{` + target + `, sli: {source: istio}}`, "exactly one of availability and latency"},
	{"SLO", `{` + target + `, sli: {source: nginx, availability: {}}}`, "Unsupported value"},
	{"SLO", `{` + target + `, sli: {source: istio, availability: {}, total: x_total}}`, "source excludes"},
	{"SLO", `{` + target + `, sli: {good: x_total}}`, "total with exactly one"},
	{"SLO", `{` + target + `, sli: {good: x_total, total: y_total, match: {a: b}}}`, "belong to a source"},
	{"SLO", `{` + target + `, sli: {source: istio, latency: {}}}`, "threshold: Required"},
	{"SLO", `{` + target + `, sli: {source: istio, latency: {threshold: 250ms, percentile: 99}}}`, "a percentile needs"},
	{"SLO", `{` + target + `, sli: {source: istio, availability: {errors: [5xx], tanzuErrors: true}}}`, "exclude each other"},
	{"SLO", `{` + target + `, composite: {members: []}}`, "spec.composite.members"},
	{"SLO", `{` + target + `, composite: {method: AllMustHold, members: [{service: a, slo: b}]}}`, "each member needs an objective"},
	{"SLO", `{` + target + `, composite: {members: [{service: a, slo: b, weight: 0}]}}`, "weight"},
	{"Exclusion", `{services: [a], once: [{from: 2026-11-25T02:00:00Z, until: 2026-11-25T03:00:00Z}]}`, "spec.reason: Required"},
	{"Exclusion", `{once: [{from: 2026-11-25T02:00:00Z, until: 2026-11-25T03:00:00Z}], reason: x}`, "write services"},
	{"Exclusion", `{services: [a], reason: x}`, "write once"},
	{"Exclusion", `{services: [a], once: [{from: today, until: 2026-11-25T03:00:00Z}], reason: x}`, "spec.once[0].from"},
	{"GlobalNamespace", `{matchConditions: [{namespace: {type: Exact, match: a}}]}`, "spec.domain: Required"},
	{"GlobalNamespace", `{domain: a.internal, matchConditions: []}`, "spec.matchConditions"},
	{"GlobalNamespace", `{domain: a.internal, matchConditions: [{cluster: {type: Exact, match: a}}]}`, "namespace: Required"},
	{"GlobalNamespace", `{domain: a.internal, matchConditions: [{namespace: {type: Exact, matchLabels: {a: b}}}]}`, "Exact and StartsWith take match"},
	{"GlobalNamespace", `{domain: a.internal, matchConditions: [{namespace: {type: Labels}}]}`, "Labels takes matchLabels"},
	{"GlobalNamespace", `{domain: a.internal, matchConditions: [{namespace: {type: Labels, matchExpressions: [{key: a, operator: In}]}}]}`, "need values"},
	{"GlobalNamespace", `{domain: a.internal, matchConditions: [{namespace: {type: Exact, match: a}}], definitionsFrom: [{}]}`, "name a cluster"},
	{"GlobalNamespace", `{domain: a.internal, matchConditions: [{namespace: {type: Exact, match: a}}], ca: {type: PreExisting}}`, "has a name"},
	{"ResourceGroup", `{kind: Pod, rules: {fn: AND, match: [{type: Name, fn: Exact, value: a}]}}`, "Unsupported value"},
	{"ResourceGroup", `{kind: Service, scope: Organisation, globalNamespace: a, rules: {fn: AND, match: [{type: Name, fn: Exact, value: a}]}}`, "in no global namespace"},
	{"ResourceGroup", `{kind: Service, rules: {fn: XOR, match: [{type: Name, fn: Exact, value: a}]}}`, "Unsupported value"},
	{"ResourceGroup", `{kind: Service, rules: ` + deep + `}`, "unknown field"},
	{"EncryptionPolicy", `{inside: {mode: Sometimes}}`, "Unsupported value"},
	{"EncryptionPolicy", `{inside: {mode: Strict}, exceptions: [{mode: Permissive, expires: 2027-03-31T00:00:00Z, reason: x}]}`, "name a cluster, a namespace, a service or a port"},
	{"EncryptionPolicy", `{inside: {mode: Strict}, exceptions: [{service: a, mode: Permissive, expires: 2027-03-31T00:00:00Z}]}`, "reason: Required"},
	{"TrafficPolicy", `{targetRef: {kind: Service, name: a}, http: [{name: all, to: [{version: v1, weight: 101}]}]}`, "less than or equal to 100"},
	{"TrafficPolicy", `{targetRef: {kind: Service, name: a}, http: [{name: all, match: [{}], to: [{version: v1, weight: 100}]}]}`, "write headers, path or methods"},
}
