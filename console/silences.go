package console

import (
	"context"
	"encoding/json"
	"net/http"

	"evenkeel.dev/slo"
)

// Silences keeps back that alerts are told to notification targets, for a while.
type Silences interface {
	// List returns the silences that hold.
	List(ctx context.Context) ([]Silence, error)
	// Add returns the new silence once it holds.
	Add(ctx context.Context, q SilenceRequest, by Identity) (Silence, error)
	// Expire ends a silence; it returns once it no longer holds.
	Expire(ctx context.Context, id string, by Identity) error
}

// A Silence is of one service, or of one of its SLOs or tiers. Its author is who was authenticated when it was made.
type Silence struct {
	ID              string `json:"id"`
	GlobalNamespace string `json:"globalNamespace"`
	Service         string `json:"service"`
	SLO             string `json:"slo,omitempty"`
	Tier            string `json:"tier,omitempty"`
	Reason          string `json:"reason"`
	Author          string `json:"author"`
	StartsAt        string `json:"startsAt"`
	EndsAt          string `json:"endsAt"`
}

// A SilenceRequest is the body of POST /api/v1/silences. Without a global namespace it is the only one that the caller is bound to, else
// "default".
type SilenceRequest struct {
	GlobalNamespace string       `json:"globalNamespace"`
	Service         string       `json:"service"`
	SLO             string       `json:"slo"`
	Tier            string       `json:"tier"`
	For             slo.Duration `json:"for"`
	Reason          string       `json:"reason"`
}

const maxSilenceBody = 16 << 10

func (s *Server) listSilences(w http.ResponseWriter, r *http.Request) {
	all, err := s.Silences.List(r.Context())
	q, id := r.URL.Query(), IdentityOf(r.Context())
	items := []Silence{}
	for _, x := range all {
		if id.Sees(x.GlobalNamespace) && (!q.Has("gns") || q.Get("gns") == x.GlobalNamespace) && (!q.Has("service") || q.Get("service") == x.Service) {
			items = append(items, x)
		}
	}
	s.answer(w, r, map[string]any{"items": items, "asOf": timeText(s.Now())}, err)
}

func (s *Server) addSilence(w http.ResponseWriter, r *http.Request) {
	var q SilenceRequest
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSilenceBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		s.answer(w, r, nil, Fail(http.StatusBadRequest, "BadBody", `the body is no {"globalNamespace","service","slo","tier","for","reason"}: `+err.Error(), nil))
		return
	}
	by := IdentityOf(r.Context())
	if q.GlobalNamespace == "" {
		q.GlobalNamespace = "default"
		if len(by.GlobalNamespaces) == 1 {
			q.GlobalNamespace = by.GlobalNamespaces[0]
		}
	}
	if !by.Sees(q.GlobalNamespace) {
		s.counts.Forbidden.Add(1)
		s.answer(w, r, nil, Fail(http.StatusForbidden, "Forbidden", by.Name+" may not silence alerts of global namespace "+q.GlobalNamespace, nil))
		return
	}
	x, err := s.Silences.Add(r.Context(), q, by)
	s.answer(w, r, x, err)
}

func (s *Server) expireSilence(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	all, err := s.Silences.List(r.Context())
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	by := IdentityOf(r.Context())
	for _, x := range all {
		if x.ID == id && by.Sees(x.GlobalNamespace) {
			err := s.Silences.Expire(r.Context(), id, by)
			s.answer(w, r, map[string]string{"id": id, "state": "expired"}, err)
			return
		}
	}
	s.answer(w, r, nil, Fail(http.StatusNotFound, "NotFound", "there is no silence "+id+" that holds", nil))
}
