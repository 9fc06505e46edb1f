package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/graph"
)

// istio is one reading of the counters of a mesh after so many rounds of known traffic: web calls cart of two versions, cart calls itself, a caller
// without a proxy calls web in plaintext, and web calls a service without a proxy.
func istio(round float64) map[string]float64 {
	out := map[string]float64{}
	add := func(reporter, src, dst, version, policy, code string, n float64) {
		ls := fmt.Sprintf("source_canonical_service=%s,source_workload_namespace=prod,source_cluster=Kubernetes,destination_canonical_service=%s,destination_service_namespace=prod,destination_cluster=Kubernetes,"+
			"source_canonical_revision=v7,destination_canonical_revision=%s,reporter=%s,connection_security_policy=%s,response_code=%s", src, dst, version, reporter, policy, code)
		if src == "unknown" {
			ls = strings.ReplaceAll(strings.ReplaceAll(ls, "source_workload_namespace=prod", "source_workload_namespace=unknown"), "source_cluster=Kubernetes", "source_cluster=unknown")
		}
		out["__name__=istio_requests_total,"+ls] = 1e6 + n*round
		for le, share := range map[string]float64{"25": 0.5, "100": 1, "+Inf": 1} {
			out["__name__=istio_request_duration_milliseconds_bucket,"+ls+",le="+le] = 1e6 + n*share*round
		}
	}
	for _, reporter := range []string{"destination", "source"} {
		policy := map[string]string{"destination": "mutual_tls", "source": "unknown"}[reporter]
		add(reporter, "web", "cart", "v1", policy, "200", 80)
		add(reporter, "web", "cart", "v1", policy, "503", 10)
		add(reporter, "web", "cart", "v2", policy, "200", 10)
		add(reporter, "cart", "cart", "v1", policy, "200", 4)
	}
	add("destination", "unknown", "web", "v1", "none", "200", 100)
	add("source", "web", "mail", "", "unknown", "200", 20)
	return out
}

// traces is the same by OpenTelemetry's service graph, over OTLP: worker calls store.
func traces(at, start time.Time, round int) []byte {
	attrs := `"attributes":[{"key":"client","value":{"stringValue":"worker"}},{"key":"server","value":{"stringValue":"store"}},{"key":"connection_type","value":{"stringValue":""}}]`
	when := fmt.Sprintf(`"startTimeUnixNano":"%d","timeUnixNano":"%d"`, start.UnixNano(), at.UnixNano())
	sum := func(name string, n int) string {
		return fmt.Sprintf(`{"name":%q,"sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{%s,%s,"asInt":"%d"}]}}`, name, attrs, when, n*round)
	}
	histogram := fmt.Sprintf(`{"name":"traces_service_graph_request_server","unit":"s","histogram":{"aggregationTemporality":2,"dataPoints":[{%s,%s,"count":"%d","sum":1,"explicitBounds":[0.01,0.1,1],"bucketCounts":["0","%d","0","0"]}]}}`,
		attrs, when, 30*round, 30*round)
	return []byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[` + strings.Join([]string{sum("traces_service_graph_request_total", 30), sum("traces_service_graph_request_failed_total", 3), histogram}, ",") + `]}]}]}`)
}

// If it fails, a known traffic (F26) gives another graph: from remote write and OTLP over the log and the stage to the API, also after a restart, and to
// who may see one global namespace only.
func TestKnownTrafficGivesTheExactGraph(t *testing.T) {
	data, secrets := t.TempDir(), t.TempDir()
	var tokens []Token
	for name, tok := range map[string]Token{"prometheus": {Role: "sender", GlobalNamespaces: []string{"shop"}}, "shop": {Role: "viewer", GlobalNamespaces: []string{"shop"}}, "bank": {Role: "viewer", GlobalNamespaces: []string{"bank"}}} {
		tok.Name, tok.TokenFile = name, filepath.Join(secrets, name)
		if err := os.WriteFile(tok.TokenFile, []byte(name+"-0123456789abcdef0123456789abcdef"), 0o600); err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, tok)
	}
	token := func(name string) string { return name + "-0123456789abcdef0123456789abcdef" }
	emptyPools()
	defer emptyPools()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		run := func() *engine {
			p = newPipes()
			e := start(t, Settings{Data: data, Calls: true, Sections: Sections{Tokens: tokens}}, Surroundings{Listen: func(string, string) (net.Listener, error) { return p, nil }})
			e.http.Transport = transport(p)
			return e
		}
		e := run()
		collector := e.sender
		began := time.Now()
		const rounds = 9
		send := func(round int) {
			e.sender = token("prometheus")
			e.write(time.Now(), istio(float64(round)))
			if status, b := e.do("POST", "/v1/metrics", collector, traces(time.Now(), began, round), "Content-Type", "application/json"); status != http.StatusOK {
				t.Fatalf("OTLP: status %d: %s", status, b)
			}
		}
		for round := range rounds {
			time.Sleep(15 * time.Second)
			send(round)
			send(round) // the sender saw no answer
		}
		time.Sleep(12 * time.Second)
		whole := e.calls(e.admin, "?range=15m")
		want := []string{ // eight rounds, since the first reading is the start
			"default/worker -> default/store: 240 requests, 24 failed, mTLS 0, plain 0, p99 100, by traces, versions >=240",
			"shop/cart -> shop/cart: 32 requests, 0 failed, mTLS 32, plain 0, p99 100, by destination, versions v7>v1=32",
			"shop/web -> shop/cart: 800 requests, 80 failed, mTLS 800, plain 0, p99 100, by destination, versions v7>v1=720 v7>v2=80",
			"/unknown -> shop/web: 800 requests, 0 failed, mTLS 0, plain 800, p99 100, by destination, versions v7>v1=800",
			"shop/web -> shop/mail: 160 requests, 0 failed, mTLS 0, plain 0, p99 100, by source, versions v7>=160",
		}
		if diff := cmp.Diff(sorted(want), lines(whole)); diff != "" {
			t.Errorf("the graph: %s", diff)
		}
		if diff := cmp.Diff(sorted(want[1:]), lines(e.calls(token("shop"), ""))); diff != "" {
			t.Errorf("what a viewer of shop sees: %s", diff)
		}
		if got := e.calls(token("bank"), ""); len(got.Items) != 0 {
			t.Errorf("a viewer of bank sees %v", lines(got))
		}
		if n := len(e.eventLines("mesh.call")); n != 6 {
			t.Errorf("%d events of calls, want 5 that are new and one of plaintext", n)
		}
		var svg bytes.Buffer
		if err := graph.New("F26", whole.Items, nil).SVG(&svg); err != nil || strings.Count(svg.String(), `class="node`) != 6 {
			t.Errorf("the picture: %v\n%s", err, &svg)
		}
		time.Sleep(tickPhase)
		e.stop()

		e = run() // what it has seen is there, and the next reading is a start again
		defer func() {
			time.Sleep(tickPhase)
			e.stop()
		}()
		time.Sleep(5 * time.Second)
		send(rounds)
		time.Sleep(12 * time.Second)
		if diff := cmp.Diff(sorted(want), lines(e.calls(e.admin, "?range=1h"))); diff != "" {
			t.Errorf("after a restart: %s", diff)
		}
	})
}

func (e *engine) calls(token, query string) console.CallList {
	e.t.Helper()
	var out console.CallList
	status, b := e.do("GET", "/api/v1/calls"+query, token, nil)
	if err := json.Unmarshal(b, &out); err != nil || status != http.StatusOK {
		e.t.Fatalf("calls: status %d: %s", status, b)
	}
	return out
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

// lines renders a graph, an edge a line.
func lines(l console.CallList) []string {
	var out []string
	end := func(e *calls.EndView) string {
		if e.Other {
			return "other"
		}
		return e.GlobalNamespace + "/" + e.Service
	}
	for i := range l.Items {
		v := &l.Items[i]
		var versions []string
		for _, ver := range v.Versions {
			versions = append(versions, fmt.Sprintf("%s>%s=%d", ver.Caller, ver.Name, ver.Requests))
		}
		p99 := 0.0
		if v.P99Ms != nil {
			p99 = *v.P99Ms
		}
		out = append(out, fmt.Sprintf("%s -> %s: %d requests, %d failed, mTLS %d, plain %d, p99 %g, by %s, versions %s", end(&v.Source), end(&v.Destination), v.Requests, v.Failed, v.MutualTLS, v.Plaintext, p99, v.Seen, strings.Join(versions, " ")))
	}
	return sorted(out)
}
