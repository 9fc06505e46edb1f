package console

import (
	"context"
	"net/http"
)

// Deliveries lists what was and was not delivered, and sends dead letters again.
type Deliveries interface {
	// List returns deliveries that wait, are on their way, or were given up.
	List(ctx context.Context) ([]Delivery, error)
	// Resend asks to try dead letters again; it returns once the wish is durable.
	Resend(ctx context.Context, ids []string, by Identity) error
}

// A Delivery is one alert on its way to one target. It holds no secret and no URL.
type Delivery struct {
	ID              string `json:"id"`
	Target          string `json:"target"`
	Type            string `json:"type"`
	State           string `json:"state"`             // pending, held, delivered, dead
	Reason          string `json:"reason,omitempty"`  // why it is held or dead
	Silence         string `json:"silence,omitempty"` // ID of the silence that holds it
	Message         string `json:"message,omitempty"`
	Status          int    `json:"status,omitempty"` // HTTP status of the last answer
	Attempts        int    `json:"attempts"`
	Since           string `json:"since,omitempty"`
	Next            string `json:"next,omitempty"` // when it is tried again
	Alert           string `json:"alert"`          // what is told: firing or resolved
	GlobalNamespace string `json:"globalNamespace"`
	Service         string `json:"service"`
	SLO             string `json:"slo"`
	Tier            string `json:"tier"`
}

func (s *Server) listDeliveries(w http.ResponseWriter, r *http.Request) {
	all, err := s.Deliveries.List(r.Context())
	id, state := IdentityOf(r.Context()), r.URL.Query().Get("state")
	items := []Delivery{}
	for _, d := range all {
		if id.Sees(d.GlobalNamespace) && (state == "" || state == d.State) {
			items = append(items, d)
		}
	}
	s.answer(w, r, map[string]any{"items": items, "asOf": timeText(s.Now())}, err)
}

func (s *Server) resendDelivery(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	all, err := s.Deliveries.List(r.Context())
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	for _, d := range all {
		if d.ID != id || !IdentityOf(r.Context()).Sees(d.GlobalNamespace) {
			continue
		}
		if d.State != "dead" {
			s.answer(w, r, nil, Fail(http.StatusConflict, "NotDead", "delivery "+id+" is "+d.State+"; only dead letters are sent again", nil))
			return
		}
		err := s.Deliveries.Resend(r.Context(), []string{id}, IdentityOf(r.Context()))
		s.answer(w, r, map[string]string{"id": id, "state": "pending"}, err)
		return
	}
	s.answer(w, r, nil, Fail(http.StatusNotFound, "NotFound", "there is no delivery "+id, nil))
}
