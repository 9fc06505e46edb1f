package console

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"evenkeel.dev/mesh/discovery"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/istio"
	policies "evenkeel.dev/mesh/traffic"
)

// ObjectList is the answer to what clusters would get by the definitions that stand, were it applied.
type ObjectList struct {
	Output    string            `json:"output"`    // sidecar, ambient, gateway-api or none
	Items     []MeshObject      `json:"items"`     // by cluster, kind, namespace, name
	Findings  []istio.Warning   `json:"findings"`  // what is not done as it was wished
	Isolation []istio.Isolation `json:"isolation"` // by global namespace and cluster
	Until     string            `json:"until,omitempty"`
	Live
}

// A MeshObject is an object of Kubernetes in one cluster.
type MeshObject struct {
	Cluster         string          `json:"cluster"`
	GlobalNamespace string          `json:"globalNamespace"`
	Mode            string          `json:"mode"` // Observe, Approve or Automatic: what its policy lets be done without a person
	Object          json.RawMessage `json:"object"`
}

// listObjects compiles what clusters would get. Nothing is applied.
func (s *Server) listObjects(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	output := q.Get("output")
	if output == "" {
		output = "sidecar"
	}
	all := istio.Outputs()
	at := slices.IndexFunc(all, func(o istio.Output) bool { return o.Name() == output })
	if at < 0 {
		writeError(w, http.StatusBadRequest, "BadQuery", "output is sidecar, ambient, gateway-api or none", nil)
		return
	}
	definitions, _, err := s.Definitions.List(r.Context())
	if err != nil {
		writeError(w, http.StatusServiceUnavailable, "NotReady", err.Error(), nil)
		return
	}
	var in istio.Input
	if in.Encryption, in.Routing, err = policies.Decode(definitions); err != nil {
		writeError(w, http.StatusInternalServerError, "Internal", err.Error(), nil)
		return
	}
	if g := q.Get("gateways"); g != "" {
		in.Gateways = strings.Split(g, ",")
	}
	list := ObjectList{Output: output, Items: []MeshObject{}, Findings: []istio.Warning{}, Isolation: []istio.Isolation{}}
	if !s.Mesh.Inventory(r.Context(), func(st *inventory.Stage) {
		in.View, in.GlobalNamespaces, in.Now = discovery.ViewOf(st.Objects()), st.GlobalNamespaces(), st.Now()
		list.Live = s.live(st.Now())
	}) {
		unread(w, "inventory")
		return
	}
	list.fill(&in, all[at], q.Get("gns"), q.Get("cluster"))
	writeJSON(w, http.StatusOK, list)
}

// fill compiles and takes what is asked for.
func (l *ObjectList) fill(in *istio.Input, output istio.Output, gns, cluster string) {
	of := func(g, c string) bool { return (gns == "" || g == gns) && (cluster == "" || c == "" || c == cluster) }
	result := output.Compile(in)
	for _, o := range result.Objects {
		if of(o.GlobalNamespace, o.Cluster) {
			l.Items = append(l.Items, MeshObject{o.Cluster, o.GlobalNamespace, o.Mode, o.JSON()})
		}
	}
	for _, f := range result.Warnings {
		if of(f.GlobalNamespace, f.Cluster) {
			l.Findings = append(l.Findings, f)
		}
	}
	for _, x := range istio.Explain(in) {
		if of(x.GlobalNamespace, x.Cluster) {
			l.Isolation = append(l.Isolation, x)
		}
	}
	l.Until = timeText(result.Until)
}
