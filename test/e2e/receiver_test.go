//go:build peers

package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// A notification is what a receiver heard of one alert, in Alertmanager's webhook form.
type notification struct {
	Path   string // of the request
	Status string // firing or resolved
	Labels map[string]string
	ID     string // webhook-id header, "" where there is none
}

// A receiver is a webhook receiver that keeps what it hears. Both Alertmanager and Evenkeel post to it, on different paths.
type receiver struct {
	*httptest.Server
	tb testing.TB

	mu    sync.Mutex
	heard []notification
}

func startReceiver(tb testing.TB) *receiver {
	r := &receiver{tb: tb}
	r.Server = httptest.NewServer(r)
	tb.Cleanup(r.Close)
	return r
}

// ServeHTTP takes a notification.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body struct {
		Version string
		Alerts  []struct {
			Status string
			Labels map[string]string
		}
	}
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil || body.Version != "4" {
		r.tb.Errorf("%s heard what is no Alertmanager payload of version 4: %q, %v", req.URL.Path, body.Version, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range body.Alerts {
		r.heard = append(r.heard, notification{Path: req.URL.Path, Status: a.Status, Labels: a.Labels, ID: req.Header.Get("webhook-id")})
	}
}

// about returns how often the path heard each status of an SLO's tier.
func (r *receiver) about(path, tier string) map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for _, n := range r.heard {
		if n.Path == path && n.Labels["tier"] == tier {
			out[n.Status]++
		}
	}
	return out
}

// all returns everything that was heard.
func (r *receiver) all() []notification {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]notification(nil), r.heard...)
}
