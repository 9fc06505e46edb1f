package sloth

import (
	"encoding/json"
	"fmt"
	"maps"

	"evenkeel.dev/mesh"
)

// Both forms of a file as they stand. Fields that are understood but not done are here too, so that they are refused by name and not as
// unknown. The forms differ in how they spell the names of fields, and in nothing else.

type plainFile struct {
	Version    string                                 `json:"version"`
	Service    string                                 `json:"service"`
	Labels     map[string]*mesh.Node                  `json:"labels"`
	SLOPlugins *mesh.Node                             `json:"slo_plugins"`
	SLOs       []fileSLO[plainSLI, plainAlertingSpec] `json:"slos"`
}

type kubeFile struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Metadata   metadata   `json:"metadata"`
	Spec       kubeSpec   `json:"spec"`
	Status     *mesh.Node `json:"status"` // of the operator
}

// metadata has the fields that the Kubernetes API adds too: files are often what kubectl get -o yaml printed.
type metadata struct {
	Name              string                `json:"name"`
	Namespace         string                `json:"namespace"`
	Labels            map[string]*mesh.Node `json:"labels"`
	Annotations       map[string]string     `json:"annotations"`
	CreationTimestamp *mesh.Node            `json:"creationTimestamp"`
	Finalizers        *mesh.Node            `json:"finalizers"`
	Generation        *mesh.Node            `json:"generation"`
	ManagedFields     *mesh.Node            `json:"managedFields"`
	OwnerReferences   *mesh.Node            `json:"ownerReferences"`
	ResourceVersion   *mesh.Node            `json:"resourceVersion"`
	SelfLink          *mesh.Node            `json:"selfLink"`
	UID               *mesh.Node            `json:"uid"`
}

type kubeSpec struct {
	Service    string                               `json:"service"`
	Labels     map[string]*mesh.Node                `json:"labels"`
	SLOPlugins *mesh.Node                           `json:"sloPlugins"`
	SLOs       []fileSLO[kubeSLI, kubeAlertingSpec] `json:"slos"`
}

type fileSLO[SLI, Alerting any] struct {
	Name        string                `json:"name"`
	Description string                `json:"description"`
	Objective   json.Number           `json:"objective"`
	Labels      map[string]*mesh.Node `json:"labels"`
	InfoLabels  *mesh.Node            `json:"infoLabels"`
	SLI         SLI                   `json:"sli"`
	Alerting    Alerting              `json:"alerting"`
	Interval    *mesh.Node            `json:"interval"`
	Plugins     *mesh.Node            `json:"plugins"`
}

type plainSLI struct {
	Events *struct {
		ErrorQuery string `json:"error_query"`
		TotalQuery string `json:"total_query"`
	} `json:"events"`
	Raw    *mesh.Node `json:"raw"`
	Plugin *mesh.Node `json:"plugin"`
}

type kubeSLI struct {
	Events *struct {
		ErrorQuery string `json:"errorQuery"`
		TotalQuery string `json:"totalQuery"`
	} `json:"events"`
	Raw    *mesh.Node `json:"raw"`
	Plugin *mesh.Node `json:"plugin"`
}

type plainAlertingSpec struct {
	Name        string                `json:"name"`
	Labels      map[string]*mesh.Node `json:"labels"`
	Annotations map[string]*mesh.Node `json:"annotations"`
	Page        alertSpec             `json:"page_alert"`
	Ticket      alertSpec             `json:"ticket_alert"`
}

type kubeAlertingSpec struct {
	Name        string                `json:"name"`
	Labels      map[string]*mesh.Node `json:"labels"`
	Annotations map[string]*mesh.Node `json:"annotations"`
	Page        alertSpec             `json:"pageAlert"`
	Ticket      alertSpec             `json:"ticketAlert"`
}

type alertSpec struct {
	Disable     bool                  `json:"disable"`
	Labels      map[string]*mesh.Node `json:"labels"`
	Annotations map[string]*mesh.Node `json:"annotations"`
}

// A file is a document of either form.
type file struct {
	globalNamespace string
	service         string // as a DNS label
	labels          map[string]string
	annotations     map[string]string
	levels          []level
}

// A level is one SLO of a file, with the paths at which its parts stand.
type level struct {
	path        string
	name        string
	description string
	objective   json.Number
	labels      map[string]string

	plugins, infoLabels, interval *mesh.Node

	events, raw, plugin    bool
	errorPath, totalPath   string
	errorQuery, totalQuery string

	alerting             kubeAlertingSpec
	annotations          map[string]string // of alerting
	pagePath, ticketPath string
}

// A spelling is how a form writes the names of the fields in which they differ.
type spelling struct{ errorQuery, totalQuery, page, ticket string }

var (
	snake = spelling{"error_query", "total_query", "page_alert", "ticket_alert"}
	camel = spelling{"errorQuery", "totalQuery", "pageAlert", "ticketAlert"}
)

// file decodes the document strictly.
func (r *reading) file() *file {
	f := &file{}
	places := map[string]map[string]string{}
	if r.d.APIVersion == APIVersionPlain {
		r.plainFile(f, places)
	} else {
		r.kubeFile(f, places)
	}
	f.globalNamespace = r.boundary(places)
	return f
}

func (r *reading) plainFile(f *file, places map[string]map[string]string) {
	var p plainFile
	r.add(r.d.Decode("", &p)...)
	r.header(f, "", p.Service, p.SLOPlugins, "slo_plugins", len(p.SLOs))
	f.labels = r.texts("labels", p.Labels)
	places["labels"] = f.labels
	for i := range p.SLOs {
		s := &p.SLOs[i]
		// The two forms have the same fields; a conversion leaves their spelling behind.
		f.levels = append(f.levels, r.level(fmt.Sprintf("slos[%d]", i), &fileSLO[kubeSLI, kubeAlertingSpec]{
			s.Name, s.Description, s.Objective, s.Labels, s.InfoLabels, kubeSLI(s.SLI), kubeAlertingSpec(s.Alerting), s.Interval, s.Plugins,
		}, snake, f.labels))
	}
}

func (r *reading) kubeFile(f *file, places map[string]map[string]string) {
	var k kubeFile
	r.add(r.d.Decode("", &k)...)
	r.header(f, "spec.", k.Spec.Service, k.Spec.SLOPlugins, "sloPlugins", len(k.Spec.SLOs))
	places["metadata.annotations"] = k.Metadata.Annotations
	places["metadata.labels"] = r.texts("metadata.labels", k.Metadata.Labels)
	places["spec.labels"] = r.texts("spec.labels", k.Spec.Labels)
	f.annotations = k.Metadata.Annotations
	f.labels = joined(places["metadata.labels"], places["spec.labels"])
	for i := range k.Spec.SLOs {
		f.levels = append(f.levels, r.level(fmt.Sprintf("spec.slos[%d]", i), &k.Spec.SLOs[i], camel, f.labels))
	}
}

// joined returns the entries of both maps; the later one wins.
func joined(a, b map[string]string) map[string]string {
	if len(a)+len(b) == 0 {
		return nil
	}
	out := map[string]string{}
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

// level takes over one SLO that stands at a path.
func (r *reading) level(path string, s *fileSLO[kubeSLI, kubeAlertingSpec], as spelling, labels map[string]string) level {
	l := level{path: path, name: s.Name, description: s.Description, objective: s.Objective, plugins: s.Plugins, infoLabels: s.InfoLabels, interval: s.Interval}
	l.labels = joined(labels, r.texts(path+".labels", s.Labels))
	l.errorPath, l.totalPath = path+".sli.events."+as.errorQuery, path+".sli.events."+as.totalQuery
	if l.events, l.raw, l.plugin = s.SLI.Events != nil, s.SLI.Raw != nil, s.SLI.Plugin != nil; l.events {
		l.errorQuery, l.totalQuery = s.SLI.Events.ErrorQuery, s.SLI.Events.TotalQuery
	}
	l.alerting = s.Alerting
	l.annotations = r.texts(path+".alerting.annotations", s.Alerting.Annotations)
	l.pagePath, l.ticketPath = path+".alerting."+as.page, path+".alerting."+as.ticket
	return l
}

// header checks what stands beside the SLOs.
func (r *reading) header(f *file, prefix, service string, plugins *mesh.Node, pluginsField string, n int) {
	if at := r.d.Node(prefix + "service"); at == nil || at.Kind == mesh.NodeNull || at.Kind == mesh.NodeString {
		f.service, _ = r.name(prefix+"service", service, "the service")
	}
	if plugins != nil {
		r.refuse(prefix+pluginsField, "take them out; what an SLO plugin changes are Sloth's rules, and there are none here", "SLO plugins are not run")
	}
	switch at := r.d.Node(prefix + "slos"); {
	case at != nil && at.Kind != mesh.NodeList && at.Kind != mesh.NodeNull:
	case n == 0:
		r.wrong(prefix+"slos", "write for example - name: availability", "the file has no slos")
	case n > maxSLOs:
		r.wrong(prefix+"slos", "split it into several files", "the file has %d slos; at most %d are taken", n, maxSLOs)
	}
}
