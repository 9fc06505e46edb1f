// Command crds writes deploy/crds: a CustomResourceDefinition for each kind of evenkeel.dev/v1beta1. "make crds" runs it, and a test fails
// when what it would write is not what stands there.
//
// Names and types of fields come from what the compilers decode documents into, so that the schemas know the fields that they know, no
// more and no fewer. What else a schema says (a description, bounds, patterns, rules in CEL) stands in the tables of this folder; a
// field without a description is an error, and so is an entry of a table that no field has. The compilers stay the judges: whatever a
// schema lets pass, they look at again, and their answer is in the object's status.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/gns"
	"evenkeel.dev/mesh/traffic"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/exclude"
	"evenkeel.dev/slo/native"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: crds FOLDER")
		os.Exit(2)
	}
	files, err := generate()
	for name, text := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(os.Args[1], name), text, 0o644))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crds:", err)
		os.Exit(1)
	}
}

// A resource is a kind as Kubernetes has it.
type resource struct {
	kind    mesh.Kind
	form    any // what its documents are decoded into
	plural  string
	short   []string
	scope   string
	about   string
	columns []column
	fields  map[string]field
	status  []mesh.Field // beside conditions
}

// A column is what kubectl get shows; wide ones with -o wide only.
type column struct {
	name, path, about string
	wide              bool
}

// resources are the kinds that the compilers take.
func resources() []resource {
	known := slices.Concat((*native.Compiler)(nil).Kinds(), (*exclude.Compiler)(nil).Kinds(), (*gns.Compiler)(nil).Kinds(), (*traffic.Compiler)(nil).Kinds())
	return slices.DeleteFunc(described(), func(r resource) bool { return !slices.Contains(known, r.kind) })
}

// described are the kinds that are described here.
func described() []resource {
	accepted := []column{
		{name: "Accepted", path: `.status.conditions[?(@.type=="Accepted")].status`, about: "Whether the engine has taken it as it stands here"},
		{name: "Reason", path: `.status.conditions[?(@.type=="Accepted")].reason`, about: "Why", wide: true},
	}
	age := column{name: "Age", path: ".metadata.creationTimestamp", about: "How long it has been there"}
	within := column{name: "Global NS", path: ".spec.globalNamespace", about: "The boundary that it stands in", wide: true}
	return []resource{{
		kind: mesh.Kind{APIVersion: native.APIVersion, Kind: native.KindSLO}, form: (*native.Compiler)(nil).Form(mesh.Kind{}), plural: "slos", scope: "Namespaced",
		about: "A service level objective: what share of a service's events must be good in a window of time.", fields: sloFields(), status: sloStatus(),
		columns: slices.Concat([]column{
			{name: "Service", path: ".spec.targetRef.name", about: "What the objective is about"}, {name: "Objective", path: ".spec.objective", about: "The share that must be good"},
			{name: "State", path: ".status.state", about: "How it stands with the budget"}, {name: "Budget", path: ".status.budgetRemaining", about: "What is left of the error budget"},
		}, accepted, []column{within, age}),
	}, {
		kind: mesh.Kind{APIVersion: slo.ExclusionVersion, Kind: slo.KindExclusion}, form: (*exclude.Compiler)(nil).Form(mesh.Kind{}), plural: "exclusions", short: []string{"excl"}, scope: "Namespaced",
		about: "Time that does not count for service levels: maintenance, planned or afterwards.", fields: exclusionFields(),
		columns: slices.Concat([]column{{name: "Why", path: ".spec.reason", about: "Why the time does not count"}}, accepted, []column{within, age}),
	}, {
		kind: mesh.KindGlobalNamespace, form: (*gns.Compiler)(nil).Form(mesh.KindGlobalNamespace), plural: "globalnamespaces", short: []string{"gns"}, scope: "Cluster",
		about: "The boundary around an application in several clusters: who belongs to it, and from where its definitions come.", fields: namespaceFields(),
		columns: slices.Concat([]column{{name: "Domain", path: ".spec.domain", about: "Under which its services are called"}}, accepted, []column{age}),
	}, {
		kind: mesh.KindResourceGroup, form: (*gns.Compiler)(nil).Form(mesh.KindResourceGroup), plural: "resourcegroups", short: []string{"rgroup"}, scope: "Namespaced",
		about: "Services, clusters or nodes, picked by rules.", fields: groupFields(),
		columns: slices.Concat([]column{{name: "Of", path: ".spec.kind", about: "What is picked"}}, accepted, []column{within, age}),
	}, {
		kind: mesh.KindCluster, form: (*gns.Compiler)(nil).Form(mesh.KindCluster), plural: "clusters", scope: "Cluster",
		about: "A Kubernetes cluster that the engine knows, and how much of it.", fields: clusterFields(),
		columns: slices.Concat([]column{{name: "Region", path: ".spec.region", about: "Where it is"}}, accepted, []column{age}),
	}, {
		kind: mesh.KindExternalService, form: (*gns.Compiler)(nil).Form(mesh.KindExternalService), plural: "externalservices", scope: "Namespaced",
		about: "A service that runs in no cluster.", fields: externalFields(),
		columns: slices.Concat(accepted, []column{within, age}),
	}, {
		kind: traffic.KindEncryption, form: (*traffic.Compiler)(nil).Form(traffic.KindEncryption), plural: "encryptionpolicies", short: []string{"encpol"}, scope: "Namespaced",
		about: "How calls within a global namespace, and into it, are encrypted.", fields: encryptionFields(),
		columns: slices.Concat([]column{{name: "Inside", path: ".spec.inside.mode", about: "How members take calls"}, {name: "Mode", path: ".spec.mode", about: "What is done without a person"}}, accepted, []column{within, age}),
	}, {
		kind: traffic.KindRouting, form: (*traffic.Compiler)(nil).Form(traffic.KindRouting), plural: "trafficpolicies", short: []string{"trafpol"}, scope: "Namespaced",
		about: "To which versions of a service its calls go.", fields: routingFields(),
		columns: slices.Concat([]column{{name: "Service", path: ".spec.targetRef.name", about: "Whose calls"}, {name: "Mode", path: ".spec.mode", about: "What is done without a person"}}, accepted, []column{within, age}),
	}}
}

// generate returns the files by their names.
func generate() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, r := range resources() {
		root, err := r.definition()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.kind.Kind, err)
		}
		text, err := yaml.Format(root)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.kind.Kind, err)
		}
		out[r.plural+".yaml"] = append([]byte("# Written by \"make crds\".\n"), text...)
	}
	return out, nil
}

func (r *resource) definition() (*mesh.Node, error) {
	group, version, _ := strings.Cut(r.kind.APIVersion, "/")
	of, err := r.schema()
	if err != nil {
		return nil, err
	}
	name := func(key, text string) mesh.Field { return mesh.Entry(key, mesh.Text(text)) }
	names := []mesh.Field{name("kind", r.kind.Kind), name("listKind", r.kind.Kind+"List"), name("plural", r.plural), name("singular", strings.ToLower(r.kind.Kind)),
		mesh.Entry("categories", texts([]string{"evenkeel"}))}
	if len(r.short) > 0 {
		names = append(names, mesh.Entry("shortNames", texts(r.short)))
	}
	var columns []*mesh.Node
	for _, c := range r.columns {
		kind := "string"
		if c.name == "Age" {
			kind = "date"
		}
		f := []mesh.Field{name("name", c.name), name("type", kind), name("jsonPath", c.path), name("description", c.about)}
		if c.wide {
			f = append(f, mesh.Entry("priority", mesh.Number("1")))
		}
		columns = append(columns, mesh.Map(f...))
	}
	return mesh.Map(name("apiVersion", "apiextensions.k8s.io/v1"), name("kind", "CustomResourceDefinition"),
		mesh.Entry("metadata", mesh.Map(name("name", r.plural+"."+group), mesh.Entry("labels", mesh.Map(name("app.kubernetes.io/part-of", "evenkeel"))))),
		mesh.Entry("spec", mesh.Map(name("group", group), name("scope", r.scope), mesh.Entry("names", mesh.Map(names...)),
			mesh.Entry("conversion", mesh.Map(name("strategy", "None"))),
			mesh.Entry("versions", mesh.List(mesh.Map(name("name", version), mesh.Entry("served", mesh.Bool(true)), mesh.Entry("storage", mesh.Bool(true)),
				mesh.Entry("subresources", mesh.Map(mesh.Entry("status", mesh.Map()))), mesh.Entry("additionalPrinterColumns", mesh.List(columns...)),
				mesh.Entry("schema", mesh.Map(mesh.Entry("openAPIV3Schema", of))))))))), nil
}

// schema returns the schema of the whole object. Kubernetes itself knows metadata; a schema may only bind the name.
func (r *resource) schema() (*mesh.Node, error) {
	s := schema{fields: r.fields, used: map[string]bool{}}
	t := reflect.TypeOf(r.form).Elem()
	at, ok := t.FieldByName("Spec")
	if !ok {
		return nil, fmt.Errorf("%s has no spec", t)
	}
	spec := s.node("spec", at.Type)
	for path := range r.fields {
		if !s.used[path] {
			s.wrong = append(s.wrong, path+" is no field of the decoder")
		}
	}
	if slices.Sort(s.wrong); len(s.wrong) > 0 {
		return nil, errors.New(strings.Join(s.wrong, "\n"))
	}
	plain := func(key string) mesh.Field { return mesh.Entry(key, mesh.Map(mesh.Entry("type", mesh.Text("string")))) }
	named := mesh.Map(mesh.Entry("type", mesh.Text("string")), mesh.Entry("maxLength", mesh.Number("63")), mesh.Entry("pattern", mesh.Text(label)))
	return mesh.Map(mesh.Entry("description", mesh.Text(r.about)), mesh.Entry("type", mesh.Text("object")), mesh.Entry("required", texts([]string{"spec"})),
		mesh.Entry("properties", mesh.Map(plain("apiVersion"), plain("kind"),
			mesh.Entry("metadata", mesh.Map(mesh.Entry("type", mesh.Text("object")), mesh.Entry("properties", mesh.Map(mesh.Entry("name", named))))),
			mesh.Entry("spec", spec), mesh.Entry("status", r.statusSchema())))), nil
}

func (r *resource) statusSchema() *mesh.Node {
	bounded := func(about string, most int) *mesh.Node {
		return mesh.Map(mesh.Entry("description", mesh.Text(about)), mesh.Entry("type", mesh.Text("string")), count("maxLength", most))
	}
	condition := mesh.Map(mesh.Entry("type", mesh.Text("object")), mesh.Entry("required", texts([]string{"lastTransitionTime", "message", "reason", "status", "type"})),
		mesh.Entry("properties", mesh.Map(
			mesh.Entry("lastTransitionTime", mesh.Map(mesh.Entry("description", mesh.Text("When status became what it is.")), mesh.Entry("type", mesh.Text("string")), mesh.Entry("format", mesh.Text("date-time")))),
			mesh.Entry("message", bounded("What is wrong, where, and what would be right.", 32768)),
			mesh.Entry("observedGeneration", mesh.Map(mesh.Entry("description", mesh.Text("The generation of the object that this is about.")), mesh.Entry("type", mesh.Text("integer")), mesh.Entry("format", mesh.Text("int64")), mesh.Entry("minimum", mesh.Number("0")))),
			mesh.Entry("reason", bounded("One word for programs.", 1024)),
			mesh.Entry("status", mesh.Map(mesh.Entry("type", mesh.Text("string")), mesh.Entry("enum", texts([]string{"True", "False", "Unknown"})))),
			mesh.Entry("type", bounded("What the condition is about.", 316)))))
	fields := append([]mesh.Field{mesh.Entry("conditions", mesh.Map(mesh.Entry("description", mesh.Text("Accepted: whether the engine has taken the object as it stands here.")),
		mesh.Entry("type", mesh.Text("array")), mesh.Entry("items", condition), mesh.Entry("x-kubernetes-list-type", mesh.Text("map")), mesh.Entry("x-kubernetes-list-map-keys", texts([]string{"type"})))),
		mesh.Entry("observedGeneration", mesh.Map(mesh.Entry("description", mesh.Text("The newest generation of the object that the engine has judged.")), mesh.Entry("type", mesh.Text("integer")), mesh.Entry("format", mesh.Text("int64"))))}, r.status...)
	return mesh.Map(mesh.Entry("description", mesh.Text("Written by the engine.")), mesh.Entry("type", mesh.Text("object")), mesh.Entry("properties", mesh.Map(fields...)))
}

// sloStatus is what the status of an SLO says coarsely; evenkeel status has the rest.
func sloStatus() []mesh.Field {
	of := func(about string) *mesh.Node {
		return mesh.Map(mesh.Entry("description", mesh.Text(about)), mesh.Entry("type", mesh.Text("string")))
	}
	return []mesh.Field{
		mesh.Entry("state", of("How it stands with the budget, as evenkeel status says it. At most a minute old while the engine can write.")),
		mesh.Entry("budgetRemaining", of("What is left of the error budget, in whole percent, rounded down.")),
	}
}
