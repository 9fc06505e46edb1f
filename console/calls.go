package console

import (
	"net/http"
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

// CallList is the answer to who calls whom.
type CallList struct {
	Items []calls.CallView `json:"items"`
	Live
	RangeSeconds float64 `json:"rangeSeconds"` // that was asked for
	Over         bool    `json:"over"`         // something was left out within the last hour, because of a bound
}

// A ServiceRow is a service with its traffic.
type ServiceRow struct {
	inventory.ServiceView
	Traffic *calls.Figures `json:"traffic"` // calls to it; null where none were seen
}

// A GroupRow is a resource group with the traffic of what it holds.
type GroupRow struct {
	inventory.GroupView
	Traffic *calls.Figures `json:"traffic"` // calls to services that it holds, or to those in clusters that it holds; null where none were seen
}

// spans are what range may be.
var spans = map[string]bus.Time{"": 5 * bus.Minute, "5m": 5 * bus.Minute, "15m": 15 * bus.Minute, "30m": 30 * bus.Minute, "1h": bus.Hour}

// span reads the range of a query; false when it has answered that there is no such range.
func span(w http.ResponseWriter, r *http.Request) (bus.Time, bool) {
	d, ok := spans[r.URL.Query().Get("range")]
	if !ok {
		writeError(w, http.StatusBadRequest, "BadQuery", "range is 5m, 15m, 30m or 1h", nil)
	}
	return d, ok
}

// listCalls answers with the edges between services.
func (s *Server) listCalls(w http.ResponseWriter, r *http.Request) {
	d, ok := span(w, r)
	if !ok {
		return
	}
	id, q := IdentityOf(r.Context()), r.URL.Query()
	list := CallList{Items: []calls.CallView{}, RangeSeconds: float64(d) / 1000}
	seconds := 0.0
	if !s.Mesh.Calls(r.Context(), func(st *calls.Stage) {
		list.Items, list.Over, seconds = st.Calls(d), st.Over(), st.Seconds(d)
		list.Live = s.live(st.Now())
	}) {
		unread(w, "calls")
		return
	}
	list.Items = slices.DeleteFunc(cutCalls(id, list.Items, seconds), func(v calls.CallView) bool {
		gns, service := q.Get("gns"), q.Get("service")
		of := func(e *calls.EndView) bool {
			return (gns == "" || e.GlobalNamespace == gns) && (service == "" || e.Service == service)
		}
		return !of(&v.Source) && !of(&v.Destination)
	})
	writeJSON(w, http.StatusOK, list)
}

// cutCalls takes out what the viewer may not see: calls with no end in a global namespace of theirs, and of the others the name of an end that is not. What
// is the same then is one.
func cutCalls(id Identity, all []calls.CallView, seconds float64) []calls.CallView {
	if len(id.GlobalNamespaces) == 0 {
		return all
	}
	out := []calls.CallView{}
	at := map[[2]calls.EndView]int{}
	for _, v := range all {
		src, dst := sees(id, &v.Source), sees(id, &v.Destination)
		if !src && !dst || v.Stamp != "" && !id.Sees(v.Stamp) {
			continue
		}
		if !src && v.Source.Service != calls.Unknown {
			v.Source, v.Principal, v.Versions = calls.EndView{Other: true}, "", []calls.VersionView{}
		}
		if !dst && v.Destination.Service != calls.Unknown {
			v.Destination, v.Versions = calls.EndView{Other: true}, []calls.VersionView{}
		}
		ends := [2]calls.EndView{v.Source, v.Destination}
		i, known := at[ends]
		if !known || !v.Source.Other && !v.Destination.Other {
			at[ends] = len(out)
			out = append(out, v)
			continue
		}
		o := &out[i]
		o.Counts.Add(&v.Counts)
		o.Figures, o.Versions = o.Counts.Figures(seconds), []calls.VersionView{}
		o.First, o.Last = min(o.First, v.First), max(o.Last, v.Last)
	}
	return out
}

func sees(id Identity, e *calls.EndView) bool {
	return e.GlobalNamespace != "" && id.Sees(e.GlobalNamespace)
}

// A traffic is what was called within a span of time, to be added up.
type traffic struct {
	seconds float64
	calls   []calls.CallView
	counts  map[[2]string]*calls.Counts // by global namespace and service; "" as the service: all of it
}

// traffic reads the calls that count for their called service.
func (s *Server) traffic(r *http.Request, d bus.Time) *traffic {
	t := &traffic{counts: map[[2]string]*calls.Counts{}}
	s.Mesh.Calls(r.Context(), func(st *calls.Stage) { // without it there are no figures, and the rest of the answer stands
		t.seconds, t.calls = st.Seconds(d), st.Calls(d)
	})
	t.calls = slices.DeleteFunc(t.calls, func(v calls.CallView) bool { return !v.CountsFor(v.Destination.GlobalNamespace) })
	for i := range t.calls {
		v := &t.calls[i]
		for _, k := range [][2]string{{v.Destination.GlobalNamespace, v.Destination.Service}, {v.Destination.GlobalNamespace, ""}} {
			if t.counts[k] == nil {
				t.counts[k] = &calls.Counts{}
			}
			t.counts[k].Add(&v.Counts)
		}
	}
	return t
}

// of returns the figures of a service, or with "" of a whole global namespace.
func (t *traffic) of(gns, service string) *calls.Figures {
	n := t.counts[[2]string{gns, service}]
	if n == nil {
		return nil
	}
	f := n.Figures(t.seconds)
	return &f
}

// group returns the figures of what a group holds, as far as the viewer may see it.
func (t *traffic) group(id Identity, g *inventory.GroupView) *calls.Figures {
	if g.Kind != member.KindService && g.Kind != member.KindCluster {
		return nil
	}
	holds := map[string][]inventory.GroupResource{}
	for _, x := range g.Resources {
		holds[x.Name] = append(holds[x.Name], x)
	}
	var sum calls.Counts
	some := false
	for i := range t.calls {
		e := &t.calls[i].Destination
		if !sees(id, e) || g.GlobalNamespace != inventory.Organisation && e.GlobalNamespace != g.GlobalNamespace {
			continue
		}
		in := len(holds[e.Cluster]) > 0
		if g.Kind == member.KindService {
			in = slices.ContainsFunc(holds[e.Service], func(x inventory.GroupResource) bool {
				return (e.Namespace == "" || e.Namespace == x.Namespace) && (e.Cluster == "" || e.Cluster == x.Cluster)
			})
		}
		if in {
			some = true
			sum.Add(&t.calls[i].Counts)
		}
	}
	if !some {
		return nil
	}
	f := sum.Figures(t.seconds)
	return &f
}
