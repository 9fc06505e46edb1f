package console

import (
	"net/http"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// Statuses is what is known of all SLOs; *[slo.View] is one.
type Statuses interface {
	List() []slo.Item // sorted by global namespace, service and name
	Get(globalNamespace, service, name string) (slo.Item, bool)
}

// SLO is one SLO's status as the API answers it. Decimals that must not lose digits are strings, counts are numbers, times RFC 3339.
// LagSeconds is how far asOf is behind the clock of the process that answers.
type SLO struct {
	slo.Status
	LagSeconds float64 `json:"lagSeconds"`
}

// SLOList is the answer of GET /api/v1/slos. AsOf is that of the SLO that is furthest behind, of those that have data; "" where none has.
type SLOList struct {
	Items      []SLO   `json:"items"`
	AsOf       string  `json:"asOf"`
	LagSeconds float64 `json:"lagSeconds"`
}

func viewSLO(item slo.Item, now bus.Time) SLO {
	out := SLO{Status: item.Status, LagSeconds: lag(item.AsOf.Time(), now)}
	if out.BurnRates == nil {
		out.BurnRates = []slo.BurnRate{}
	}
	if out.Alerts == nil {
		out.Alerts = []slo.AlertStatus{}
	}
	return out
}

func timeText(t bus.Time) string {
	if t == 0 {
		return ""
	}
	return t.String()
}

// lag returns how many seconds asOf is behind now; 0 where nothing is known.
func lag(asOf, now bus.Time) float64 {
	if asOf == 0 {
		return 0
	}
	return float64(max(now-asOf, 0)) / 1000
}

// asked returns whether a request is about an SLO: its global namespace and service, if they are named, and what the asker may see.
func asked(r *http.Request) func(slo.StatusKey) bool {
	id, is := IdentityOf(r.Context()), queried(r)
	return func(k slo.StatusKey) bool {
		return id.Sees(k.GlobalNamespace) && is("gns", k.GlobalNamespace) && is("service", k.Service)
	}
}

// queried returns whether a value is the one that the query names, if it names any.
func queried(r *http.Request) func(name, v string) bool {
	q := r.URL.Query()
	return func(name, v string) bool { return !q.Has(name) || q.Get(name) == v }
}

func (s *Server) listSLOs(w http.ResponseWriter, r *http.Request) {
	keeps, is := asked(r), queried(r)
	now, oldest := s.Now(), bus.Time(0)
	list := SLOList{Items: []SLO{}}
	for _, it := range s.Statuses.List() {
		if !keeps(it.Key()) || !is("state", it.State) || !is("name", it.Name) {
			continue
		}
		list.Items = append(list.Items, viewSLO(it, now))
		if it.Reason == slo.ReasonNoDataYet || it.Reason == slo.ReasonNoData {
			continue // nothing came, so that nothing is behind
		}
		if t := it.AsOf.Time(); t != 0 && (oldest == 0 || t < oldest) {
			oldest = t
		}
	}
	list.AsOf, list.LagSeconds = timeText(oldest), lag(oldest, now)
	writeJSON(w, http.StatusOK, list)
}

func (s *Server) getSLO(w http.ResponseWriter, r *http.Request) {
	gns, service, name := r.PathValue("gns"), r.PathValue("service"), r.PathValue("slo")
	it, ok := s.Statuses.Get(gns, service, name)
	if !ok || !IdentityOf(r.Context()).Sees(gns) {
		writeError(w, http.StatusNotFound, "NotFound", "there is no SLO "+gns+"/"+service+"/"+name, nil)
		return
	}
	writeJSON(w, http.StatusOK, viewSLO(it, s.Now()))
}
