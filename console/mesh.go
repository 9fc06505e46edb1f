package console

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

// Mesh is what is known of clusters, services and who belongs where.
type Mesh interface {
	// Inventory calls read with this process's copy of the stage, which must not be kept; ok is false while there is no copy to trust.
	Inventory(ctx context.Context, read func(*inventory.Stage)) (ok bool)
	// Calls does the same with the stage that knows who calls whom.
	Calls(ctx context.Context, read func(*calls.Stage)) (ok bool)
}

// MeshList is the answer to a question about the mesh.
type MeshList[T any] struct {
	Items []T `json:"items"`
	Live
}

// Live says how old an answer is, by the log's time of the last record that it knows of.
type Live struct {
	AsOf       string  `json:"asOf"`
	LagSeconds float64 `json:"lagSeconds"`
}

// live returns how old an answer is that knows of the log up to then.
func (s *Server) live(then bus.Time) Live { return Live{timeText(then), lag(then, s.Now())} }

// unread answers that a copy of a stage cannot be read now.
func unread(w http.ResponseWriter, what string) {
	writeError(w, http.StatusServiceUnavailable, "NotReady", "the "+what+" cannot be read now; look at /readyz", nil)
}

// A GlobalNamespaceView is a global namespace with who is in it.
type GlobalNamespaceView struct {
	Name       string   `json:"name"`
	Domain     string   `json:"domain"`
	MTLS       string   `json:"mtls"`
	State      string   `json:"state"`    // of its services together; Unknown where it has none
	Clusters   []string `json:"clusters"` // with members
	Namespaces int      `json:"namespaces"`
	Services   int      `json:"services"`
	Desired    int      `json:"desired"` // instances
	Ready      int      `json:"ready"`
	Candidates int      `json:"candidates"`
	// Traffic is calls to its services, from its own ones and others; null where none were seen.
	Traffic *calls.Figures `json:"traffic"`
	// Membership is there where one is asked for by name. Who is bound to global namespaces is not told who was refused, since that names others.
	Membership *member.Members `json:"membership,omitempty"`
}

// listMesh answers with what pick takes of the inventory.
func listMesh[T any](s *Server, w http.ResponseWriter, r *http.Request, pick func(*inventory.Stage) []T) {
	list := MeshList[T]{Items: []T{}}
	ok := s.Mesh.Inventory(r.Context(), func(st *inventory.Stage) {
		if items := pick(st); items != nil {
			list.Items = items
		}
		list.Live = s.live(st.Now())
	})
	if !ok {
		unread(w, "inventory")
		return
	}
	writeJSON(w, http.StatusOK, list)
}

// listClusters answers with all clusters. Who is bound to global namespaces sees those that have a member of theirs, without figures in which
// others' are counted.
func (s *Server) listClusters(w http.ResponseWriter, r *http.Request) {
	id, is := IdentityOf(r.Context()), queried(r)
	listMesh(s, w, r, func(st *inventory.Stage) (out []inventory.ClusterView) {
		for _, c := range st.Clusters() {
			if !is("name", c.Name) || !is("state", c.State) {
				continue
			}
			if len(id.GlobalNamespaces) > 0 {
				c.GlobalNamespaces = slices.DeleteFunc(c.GlobalNamespaces, func(g string) bool { return !id.Sees(g) })
				if len(c.GlobalNamespaces) == 0 {
					continue
				}
				c.Labels, c.Namespaces, c.Nodes, c.NodesReady, c.Services, c.Instances, c.Left = nil, 0, 0, 0, 0, 0, 0
			}
			out = append(out, c)
		}
		return out
	})
}

func (s *Server) listServices(w http.ResponseWriter, r *http.Request) {
	id, is := IdentityOf(r.Context()), queried(r)
	q := r.URL.Query()
	d, ok := span(w, r)
	if !ok {
		return
	}
	t := s.traffic(r, d)
	listMesh(s, w, r, func(st *inventory.Stage) (out []ServiceRow) {
		for _, v := range st.Services() {
			if !id.Sees(v.GlobalNamespace) || !is("gns", v.GlobalNamespace) || !is("name", v.Name) || !is("state", v.State) ||
				q.Has("cluster") && !slices.Contains(v.Clusters, q.Get("cluster")) {
				continue
			}
			out = append(out, ServiceRow{v, t.of(v.GlobalNamespace, v.Name)})
		}
		return out
	})
}

func (s *Server) listInstances(w http.ResponseWriter, r *http.Request) {
	id, is := IdentityOf(r.Context()), queried(r)
	listMesh(s, w, r, func(st *inventory.Stage) []inventory.InstanceView {
		all := st.Instances(func(gns, service, cluster string) bool {
			return id.Sees(gns) && is("gns", gns) && is("service", service) && is("cluster", cluster)
		})
		return slices.DeleteFunc(all, func(v inventory.InstanceView) bool {
			return !is("name", v.Name) || !is("state", v.State) || !is("version", v.Version)
		})
	})
}

// listGroups answers with resource groups. Those of the organisation are for who sees the whole.
func (s *Server) listGroups(w http.ResponseWriter, r *http.Request) {
	id, is := IdentityOf(r.Context()), queried(r)
	d, ok := span(w, r)
	if !ok {
		return
	}
	t := s.traffic(r, d)
	listMesh(s, w, r, func(st *inventory.Stage) (out []GroupRow) {
		for _, v := range st.Groups() {
			if id.Sees(v.GlobalNamespace) && is("gns", v.GlobalNamespace) && is("name", v.Name) {
				out = append(out, GroupRow{v, t.group(id, &v)})
			}
		}
		return out
	})
}

func (s *Server) listGlobalNamespaces(w http.ResponseWriter, r *http.Request) {
	id := IdentityOf(r.Context())
	name := r.URL.Query().Get("name")
	d, ok := span(w, r)
	if !ok {
		return
	}
	t := s.traffic(r, d)
	listMesh(s, w, r, func(st *inventory.Stage) (out []GlobalNamespaceView) {
		members := map[string]member.Members{}
		for _, m := range st.Membership().Namespaces {
			members[m.GlobalNamespace] = m
		}
		services := st.Services()
		for _, g := range st.GlobalNamespaces() {
			if !id.Sees(g.Name) || name != "" && name != g.Name {
				continue
			}
			m := members[g.Name]
			v := viewGlobalNamespace(&g, &m, services)
			v.Traffic = t.of(g.Name, "")
			if name != "" {
				if len(id.GlobalNamespaces) > 0 {
					m.Refused = []member.Verdict{}
				}
				v.Membership = &m
			}
			out = append(out, v)
		}
		return out
	})
}

func viewGlobalNamespace(g *member.GlobalNamespace, m *member.Members, services []inventory.ServiceView) GlobalNamespaceView {
	v := GlobalNamespaceView{Name: g.Name, Domain: g.Domain, MTLS: g.MTLS, Candidates: len(m.Candidates)}
	clusters := map[string]bool{}
	for _, x := range m.Members {
		clusters[x.Cluster] = true
		if x.Service == "" {
			v.Namespaces++
		}
	}
	var parts []inventory.ServiceEvent
	for _, x := range services {
		if x.GlobalNamespace == g.Name {
			v.Services++
			parts = append(parts, x.Places...)
		}
	}
	for _, p := range parts {
		if p.Cluster != "" {
			clusters[p.Cluster] = true
		}
	}
	sum := inventory.Join(parts)
	v.State, v.Desired, v.Ready = sum.State, sum.Desired, sum.Ready
	if v.Clusters = slices.Sorted(maps.Keys(clusters)); v.Clusters == nil {
		v.Clusters = []string{}
	}
	return v
}
