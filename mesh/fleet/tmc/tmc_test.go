package tmc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func tokenFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// direct answers requests by a handler without a socket, as bubbles need it.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

func (s *service) fleet(group string) *Fleet {
	s.t.Helper()
	f, err := New(Config{URL: "https://org.tmc.example.com/", CSPURL: "https://console.example.com", TokenFile: tokenFile(s.t, apiToken+"\n"), Group: group, Transport: direct{s}})
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// quiet fails when an error tells a token.
func quiet(t *testing.T, err error) {
	t.Helper()
	if err != nil && (strings.Contains(err.Error(), apiToken) || strings.Contains(err.Error(), "S3cret")) {
		t.Errorf("the error tells a token: %v", err)
	}
}

// If it fails, clusters of the organisation are not known, or with other labels or another state than they have.
func TestClusters(t *testing.T) {
	s := &service{t: t, life: 1800, clusters: []map[string]any{
		cluster("eu", "prod", "READY", "HEALTHY"), cluster("us", "test", "READY", "DISCONNECTED"), cluster("old", "prod", "DELETING", ""), cluster("older", "prod", "DETACHING", ""),
	}}
	server := httptest.NewTLSServer(s)
	defer server.Close()
	config := Config{URL: server.URL, CSPURL: server.URL, TokenFile: tokenFile(t, apiToken+"\n"), Transport: server.Client().Transport}
	f, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Clusters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"env": "prod"}
	want := []Cluster{
		{Name: "eu", From: "attached/attached/eu", Labels: labels, Region: "eu-west-1", Group: "prod", Phase: "READY", Health: "HEALTHY"},
		{Name: "us", From: "attached/attached/us", Labels: labels, Region: "eu-west-1", Group: "test", Phase: "READY", Health: "DISCONNECTED"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	config.Transport = nil
	if f, err = New(config); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Clusters(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") || s.exchanges != 1 {
		t.Errorf("a server that nobody vouches for was given the token: %v", err)
	}
}

// If it fails, organisations with more clusters than a page has lose those of other pages, or the group of the settings does not choose.
func TestPages(t *testing.T) {
	for _, noTotal := range []bool{false, true} {
		for _, n := range []int{0, 1, 99, 100, 101, 200, 256} {
			s := &service{t: t, life: 1800, noTotal: noTotal, clusters: []map[string]any{}}
			for i := range n {
				s.clusters = append(s.clusters, cluster(fmt.Sprintf("c%d", i), []string{"even", "odd"}[i%2], "READY", ""))
			}
			if got, err := s.fleet("").Clusters(t.Context()); err != nil || len(got) != n || n > 0 && got[n-1].Name != fmt.Sprintf("c%d", n-1) {
				t.Errorf("%d clusters, total left out %v: got %d, %v", n, noTotal, len(got), err)
			}
			if got, err := s.fleet("odd").Clusters(t.Context()); err != nil || len(got) != n/2 {
				t.Errorf("%d clusters, of the group: got %d, %v", n, len(got), err)
			}
		}
	}
	s := &service{t: t, life: 1800}
	for i := range MaxClusters + 1 {
		s.clusters = append(s.clusters, cluster(fmt.Sprintf("c%d", i), "", "READY", ""))
	}
	if _, err := s.fleet("").Clusters(t.Context()); err == nil || !strings.Contains(err.Error(), "name a cluster group") {
		t.Errorf("got %v", err)
	}
}

// If it fails, a list that changed between two pages is taken for whole, and a cluster seems to be gone.
func TestChangeBetweenPages(t *testing.T) {
	for name, change := range map[string]func(s *service){
		"one goes": func(s *service) { s.clusters = s.clusters[1:] },
		"one comes first": func(s *service) {
			s.clusters = append([]map[string]any{cluster("new", "", "READY", "")}, s.clusters...)
		},
		"one for another": func(s *service) {
			s.clusters = append([]map[string]any{cluster("new", "", "READY", "")}, s.clusters[:len(s.clusters)-1]...)
		},
		"total disappears": func(s *service) { s.noTotal = true },
	} {
		s := &service{t: t, life: 1800}
		for i := range 150 {
			s.clusters = append(s.clusters, cluster(fmt.Sprintf("c%d", i), "", "READY", ""))
		}
		s.change = func(offset int) {
			if offset > 0 {
				change(s)
				s.change = nil
			}
		}
		if _, err := s.fleet("").Clusters(t.Context()); !errors.Is(err, errChanged) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// If it fails, the fleet logs in for each list, or uses a token to its last second and fails.
func TestTokenLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{t: t, life: 1800, clusters: []map[string]any{cluster("eu", "", "READY", "")}}
		f := s.fleet("")
		for range 60 {
			if _, err := f.Clusters(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if s.exchanges != 3 || s.lists != 60 {
			t.Errorf("in an hour %d exchanges and %d lists; want 3 (every 28 minutes) and 60", s.exchanges, s.lists)
		}
	})
}

// If it fails, a token that was revoked before its end stops the fleet, or a refused one is exchanged without end.
func TestRefusedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{t: t, life: 1800, clusters: []map[string]any{cluster("eu", "", "READY", "")}}
		f := s.fleet("")
		s.faults = []fault{{code: 401, body: apiToken}}
		if got, err := f.Clusters(t.Context()); err != nil || len(got) != 1 || s.exchanges != 2 {
			t.Errorf("after one 401: %v, %v after %d exchanges", got, err, s.exchanges)
		}
		s.faults = []fault{{code: 401, body: apiToken}, {code: 401, body: s.access()}}
		_, err := f.Clusters(t.Context())
		if quiet(t, err); err == nil || !strings.Contains(err.Error(), "401") || s.exchanges != 3 {
			t.Errorf("after two 401: %v after %d exchanges", err, s.exchanges)
		}
		for _, code := range []int{400, 401, 403} { // an API token that is no more
			f, before := s.fleet(""), s.exchanges
			s.csp = []fault{{code: code, body: "invalid " + apiToken}}
			_, err := f.Clusters(t.Context())
			if quiet(t, err); err == nil || s.exchanges != before+1 || !strings.Contains(err.Error(), fmt.Sprint(code)) {
				t.Errorf("exchange answered %d: %v after %d exchanges", code, err, s.exchanges-before)
			}
		}
	})
}

// If it fails, a service that is busy for a moment fails the list, or one that is down is asked in a storm.
func TestBackOff(t *testing.T) {
	for _, c := range []struct {
		faults []fault
		took   time.Duration
		code   string
	}{
		{[]fault{{code: 503}}, time.Second, ""},
		{[]fault{{code: 429}, {code: 500}}, 3 * time.Second, ""},
		{[]fault{{code: 429, retryAfter: "4"}}, 4 * time.Second, ""},
		{[]fault{{code: 429, retryAfter: "99999999"}, {code: 429, retryAfter: "x"}}, 7 * time.Second, ""},
		{[]fault{{code: 502}, {code: 503}, {code: 504}}, 3 * time.Second, "504"},
		{[]fault{{code: 404}}, 0, "404"},
		{[]fault{{code: 302}}, 0, "302"},
		{[]fault{{code: 204}}, 0, "204"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &service{t: t, life: 1800, faults: c.faults}
			start := time.Now()
			_, err := s.fleet("").Clusters(t.Context())
			if took := time.Since(start); took != c.took || (err == nil) != (c.code == "") || err != nil && !strings.Contains(err.Error(), c.code) {
				t.Errorf("%v: took %s, %v; want %s, %q", c.faults, took, err, c.took, c.code)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Second/2)
		defer stop()
		s := &service{t: t, life: 1800, faults: []fault{{code: 503}}}
		start := time.Now()
		if _, err := s.fleet("").Clusters(ctx); err == nil || time.Since(start) != time.Second/2 {
			t.Errorf("waits beyond its context: %v after %s", err, time.Since(start))
		}
	})
}

// If it fails, a redirect sends the API token to another host.
func TestRedirectedExchange(t *testing.T) {
	s := &service{t: t, life: 1800, csp: []fault{{code: 307}}}
	_, err := s.fleet("").Clusters(t.Context())
	if quiet(t, err); err == nil || !strings.Contains(err.Error(), "console.example.com answered 307") || s.exchanges != 1 {
		t.Errorf("got %v after %d exchanges", err, s.exchanges)
	}
}

// If it fails, an answer of another shape is taken for an empty list, or a secret in it goes to the log.
func TestStrangeAnswers(t *testing.T) {
	for _, body := range []string{"", "S3cret", "[]", "null", "{}", `{"error":"S3cret"}`, `{"clusters":{"S3cret":1}}`, `{"clusters":[{"fullName":{"name":7}}]}`, `{"clusters":[{"fullName":{}}]}`, `{"totalCount":"S3cret"}`, `{"totalCount":-1}`, `{"clusters":[],"totalCount":"3"}`, `<html>`} {
		s := &service{t: t, life: 1800, faults: []fault{{code: 200, body: body}}}
		got, err := s.fleet("").Clusters(t.Context())
		if quiet(t, err); err == nil {
			t.Errorf("%s: got %v", body, got)
		}
	}
	for _, body := range []string{"", "S3cret", `{"access_token":""}`, `{"access_token":"S3cret\nX: y","expires_in":3}`, `{"access_token":7}`, `{"access_token":"S3cret","expires_in":"S3cret"}`} {
		s := &service{t: t, life: 1800, csp: []fault{{code: 200, body: body}}}
		_, err := s.fleet("").Clusters(t.Context())
		if quiet(t, err); err == nil || s.lists != 0 {
			t.Errorf("%s: taken for a token", body)
		}
	}
}

// If it fails, wrong settings are found out only while the engine runs, or a token goes over the net in the clear.
func TestConfig(t *testing.T) {
	for _, c := range []Config{
		{}, {URL: "org.tmc.example.com", TokenFile: "x"}, {URL: "http://org.tmc.example.com", TokenFile: "x"}, {URL: "https://a:b@org.tmc.example.com", TokenFile: "x"},
		{URL: "https://org.tmc.example.com?x=y", TokenFile: "x"}, {URL: "https://org.tmc.example.com"}, {URL: "https://org.tmc.example.com", CSPURL: "http://console.example.com", TokenFile: "x"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("taken: %+v", c)
		}
	}
	for _, text := range []string{"", "\n", "two words " + apiToken, strings.Repeat("x", maxToken+1), apiToken + "\n" + apiToken} {
		f, err := New(Config{URL: "https://org.tmc.example.com", TokenFile: tokenFile(t, text), Transport: direct{http.NotFoundHandler()}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Clusters(t.Context())
		if quiet(t, err); err == nil || !strings.Contains(err.Error(), "one token") {
			t.Errorf("a file with %.20q: %v", text, err)
		}
	}
}
