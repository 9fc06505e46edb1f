package console

import (
	"net/http"

	"evenkeel.dev/slo"
	"evenkeel.dev/slo/export"
)

// MaxExports bounds the exports of SLOs at a time.
const MaxExports = 4

// sloMetrics answers with the state of all SLOs in the Prometheus text format. It has a path of its own, so that many SLOs are no burden for who watches
// the engine. Who is bound to global namespaces sees theirs.
func (s *Server) sloMetrics(w http.ResponseWriter, r *http.Request) {
	names, err := export.ParseSets(r.URL.Query().Get("names"))
	if err != nil {
		s.answer(w, r, nil, Fail(http.StatusBadRequest, "BadQuery", err.Error(), nil))
		return
	}
	if !enter(&s.counts.Exports, MaxExports) {
		w.Header().Set("Retry-After", "5")
		writeError(w, http.StatusServiceUnavailable, "TooManyExports", "other exports are being written; ask again in a moment", nil)
		return
	}
	defer s.counts.Exports.Add(-1)
	keeps := asked(r)
	var items []slo.Item
	for _, it := range s.Statuses.List() {
		if keeps(it.Key()) {
			items = append(items, it)
		}
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	if err := export.Write(w, items, names); err != nil {
		s.Logger.Debug("export was not taken to its end", "err", err)
	}
}
