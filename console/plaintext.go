package console

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/member"
	policies "evenkeel.dev/mesh/traffic"
)

// A PlaintextReport is what a global namespace's policy makes of calls without mutual TLS to its services. On which port they came is not known.
type PlaintextReport struct {
	GlobalNamespace string `json:"globalNamespace"`
	Policy          string `json:"policy"` // "" where there is none: then it is told what Strict would do
	Inside          string `json:"inside"`
	policies.Report
}

// PlaintextList is the answer to what becomes of plaintext.
type PlaintextList struct {
	Items        []PlaintextReport `json:"items"` // by global namespace
	RangeSeconds float64           `json:"rangeSeconds"`
	Live
}

// listPlaintext judges calls by the policies that stand, whatever their mode.
func (s *Server) listPlaintext(w http.ResponseWriter, r *http.Request) {
	d, ok := span(w, r)
	if !ok {
		return
	}
	definitions, _, err := s.Definitions.List(r.Context())
	if err != nil {
		writeError(w, http.StatusServiceUnavailable, "NotReady", err.Error(), nil)
		return
	}
	encryption, _, err := policies.Decode(definitions)
	if err != nil {
		writeError(w, http.StatusInternalServerError, "Internal", err.Error(), nil)
		return
	}
	list := PlaintextList{Items: []PlaintextReport{}, RangeSeconds: float64(d) / 1000}
	var seen []calls.CallView
	var now bus.Time
	seconds := 0.0
	if !s.Mesh.Calls(r.Context(), func(st *calls.Stage) {
		seen, seconds, now = st.Calls(d), st.Seconds(d), st.Now()
	}) {
		unread(w, "calls")
		return
	}
	list.Live = s.live(now)
	seen = cutCalls(IdentityOf(r.Context()), seen, seconds)
	list.judge(seen, encryption, r.URL.Query().Get("gns"), now)
	writeJSON(w, http.StatusOK, list)
}

func (l *PlaintextList) judge(seen []calls.CallView, encryption []policies.Encryption, gns string, now bus.Time) {
	in := map[string][]policies.Call{}
	for i := range seen {
		v := &seen[i]
		g := v.Destination.GlobalNamespace
		if v.Destination.Other || g == "" || gns != "" && g != gns || !v.CountsFor(g) {
			continue
		}
		c := policies.Call{Source: endPlace(&v.Source), Destination: endPlace(&v.Destination)}
		if at, err := time.Parse(time.RFC3339, v.Last); err == nil {
			c.Last = bus.TimeOf(at)
		}
		for _, part := range []struct {
			mtls  bool
			count uint64
		}{{true, v.MutualTLS}, {false, v.Plaintext}} {
			c.MTLS, c.Count = part.mtls, part.count
			in[g] = append(in[g], c)
		}
	}
	for _, g := range slices.Sorted(maps.Keys(in)) {
		e := policies.Encryption{GlobalNamespace: g, Inside: policies.Strict}
		if at := slices.IndexFunc(encryption, func(e policies.Encryption) bool { return e.GlobalNamespace == g }); at >= 0 {
			e = encryption[at]
		}
		home := func(member.Place) string { return g }
		l.Items = append(l.Items, PlaintextReport{g, e.Name, e.Inside, policies.Plaintext(&e, home, in[g], 0, now)})
	}
}

func endPlace(e *calls.EndView) member.Place {
	return member.Place{Cluster: e.Cluster, Namespace: e.Namespace, Service: e.Service}
}
