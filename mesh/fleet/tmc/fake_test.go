package tmc

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

const apiToken = "api-T0ken-Xy7"

// A service is Tanzu Mission Control and the console of VMware Cloud services, as far as the public sources say what they do. It fails the test on
// any request that is not as they say.
type service struct {
	t        *testing.T
	clusters []map[string]any
	noTotal  bool
	change   func(offset int) // before a page is answered
	life     int              // of access tokens, in seconds
	faults   []fault          // answers to the next requests for clusters
	csp      []fault          // and to the next exchanges

	mu        sync.Mutex
	exchanges int
	lists     int
	ends      time.Time
}

type fault struct {
	code       int
	retryAfter string
	body       string
}

func (f fault) write(w http.ResponseWriter) {
	if f.retryAfter != "" {
		w.Header().Set("Retry-After", f.retryAfter)
	}
	if f.code == http.StatusFound || f.code == http.StatusTemporaryRedirect {
		w.Header().Set("Location", "https://elsewhere.example.com/")
	}
	w.WriteHeader(f.code)
	_, _ = io.WriteString(w, f.body)
}

func (s *service) access() string { return fmt.Sprintf("access-S3cret-%d", s.exchanges) }

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get("Accept") != "application/json" || r.Header.Get("User-Agent") != "evenkeel" {
		s.t.Errorf("headers of %s: %v", r.URL, r.Header)
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /csp/gateway/am/api/auth/api-tokens/authorize":
		s.exchange(w, r)
	case "GET /v1alpha1/clusters":
		s.list(w, r)
	default:
		s.t.Errorf("asked %s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *service) exchange(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(b))
	if err != nil || len(form) != 1 || form.Get("refresh_token") != apiToken || r.URL.RawQuery != "" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Authorization") != "" {
		s.t.Errorf("exchange: %s, %v", r.URL, r.Header)
	}
	s.exchanges++
	if len(s.csp) > 0 {
		f := s.csp[0]
		s.csp = s.csp[1:]
		f.write(w)
		return
	}
	s.ends = time.Now().Add(time.Duration(s.life) * time.Second)
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": s.access(), "expires_in": s.life, "token_type": "bearer"})
}

func (s *service) list(w http.ResponseWriter, r *http.Request) {
	s.lists++
	if len(s.faults) > 0 {
		f := s.faults[0]
		s.faults = s.faults[1:]
		f.write(w)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+s.access() || !time.Now().Before(s.ends) {
		fault{code: http.StatusUnauthorized, body: "token " + s.access()}.write(w)
		return
	}
	q := r.URL.Query()
	offset, err1 := strconv.Atoi(q.Get("pagination.offset"))
	size, err2 := strconv.Atoi(q.Get("pagination.size"))
	if err1 != nil || err2 != nil || offset < 0 || size < 1 || size > 100 || q.Get("searchScope.name") != "*" || len(q) != 3 {
		s.t.Errorf("list: %s", r.URL)
	}
	if s.change != nil {
		s.change(offset)
	}
	from, to := min(offset, len(s.clusters)), min(offset+size, len(s.clusters))
	answer := map[string]any{"clusters": s.clusters[from:to], "totalCount": strconv.Itoa(len(s.clusters))}
	if s.noTotal {
		delete(answer, "totalCount")
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func cluster(name, group, phase, health string) map[string]any {
	return map[string]any{
		"fullName": map[string]any{"orgId": "o", "managementClusterName": "attached", "provisionerName": "attached", "name": name},
		"meta":     map[string]any{"uid": "c:1", "labels": map[string]string{"env": "prod"}},
		"spec":     map[string]any{"clusterGroupName": group},
		"status":   map[string]any{"phase": phase, "health": health, "infrastructureProviderRegion": "eu-west-1", "nodeCount": "3"},
	}
}
