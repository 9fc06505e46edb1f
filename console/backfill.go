package console

import (
	"context"
	"encoding/json"
	"net/http"

	"evenkeel.dev/slo"
)

// Backfills gives SLOs what they would have counted before they were defined.
type Backfills interface {
	// Backfill appends one part; that the SLO has taken it shows in its status, as countedFrom.
	Backfill(ctx context.Context, b slo.Backfill, by Identity) error
}

// maxBackfillBody bounds one part: a minute takes about a hundred bytes.
const maxBackfillBody = 1 << 20

func (s *Server) backfill(w http.ResponseWriter, r *http.Request) {
	gns, service, name := r.PathValue("gns"), r.PathValue("service"), r.PathValue("slo")
	by := IdentityOf(r.Context())
	if _, ok := s.Statuses.Get(gns, service, name); !ok || !by.Sees(gns) {
		writeError(w, http.StatusNotFound, "NotFound", "there is no SLO "+gns+"/"+service+"/"+name, nil)
		return
	}
	var b slo.Backfill
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBackfillBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		s.answer(w, r, nil, Fail(http.StatusBadRequest, "BadBody", "the body is no backfill: "+err.Error(), nil))
		return
	}
	b.GlobalNamespace, b.Service, b.SLO, b.Author = gns, service, name, by.Name
	if err := b.Validate(); err != nil {
		s.answer(w, r, nil, Fail(http.StatusUnprocessableEntity, "Invalid", err.Error(), nil))
		return
	}
	s.answer(w, r, map[string]int64{"from": b.From, "until": b.Until}, s.Backfills.Backfill(r.Context(), b, by))
}
