//go:build bench || peers

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"evenkeel.dev/test/load"
	"evenkeel.dev/test/peer"
)

// A history is what Prometheus holds of one service before it is measured.
type history struct {
	series, days int
	every        time.Duration // between two scrapes
}

// write makes blocks of it with test/oracle's command history, which has Prometheus' storage.
func (h history) write(tb testing.TB, dir string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "run", "./history", "-dir", dir, "-series", strconv.Itoa(h.series), "-days", strconv.Itoa(h.days), "-interval", h.every.String(), "-ratio",
		"sloth_id", "checkout-availability", "sloth_service", "checkout", "sloth_slo", "availability", "sloth_window", "5m")
	cmd.Dir = "../oracle"
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("write a history: %v\n%s", err, out)
	}
}

// body returns one request with a sample of each series, labelled as the history's.
func (h history) body() *load.Body {
	ss := make([]load.Series, h.series)
	for i := range ss {
		pod, slot := i/10, i%10
		code := "200"
		if slot == 9 {
			code = "500"
		}
		ss[i] = load.Counter(peer.Metric, "job", "checkout", "service", "checkout", "namespace", "shop-prod", "pod", fmt.Sprintf("checkout-7c9d8f6b5d-%05d", pod),
			"instance", fmt.Sprintf("10.0.%d.%d:8080", pod>>8, pod&255), "code", code, "method", []string{"GET", "POST"}[slot&1], "path", fmt.Sprintf("/v1/things/%d", slot))
	}
	return load.NewBody(load.V1, ss)
}

// feed sends the series every so often until the context ends.
func (h history) feed(ctx context.Context, tb testing.TB, url, token string, every time.Duration) {
	sender := load.NewSender(url, token, 1)
	defer sender.Close()
	b := h.body()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var out []byte
	for v := 1e9; ; v += 100 {
		b.Stamp(v, time.Now().UnixMilli())
		out = b.Compress(out)
		if _, err := sender.SendUntilTaken(ctx, load.V1, out); err != nil && ctx.Err() == nil {
			tb.Errorf("feed: %v", err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// A ruler is a Prometheus with a history that evaluates rules.
type ruler struct {
	*peer.Process
	url, rules string
	idle       float64 // processor seconds a second while it takes samples and evaluates nothing
}

// startRuler starts Prometheus over a history; compaction is off, so that none runs while it is measured.
func startRuler(tb testing.TB, path string, h history) *ruler {
	tb.Helper()
	dir := tb.TempDir()
	h.write(tb, filepath.Join(dir, "data"))
	r := &ruler{rules: filepath.Join(dir, "rules.yml")}
	config := filepath.Join(dir, "prometheus.yml")
	err := errors.Join(os.WriteFile(r.rules, []byte("groups: []\n"), 0o600), os.WriteFile(config, []byte("rule_files: [rules.yml]\n"), 0o600))
	if err != nil {
		tb.Fatal(err)
	}
	address := peer.Address(tb)
	r.url = "http://" + address
	r.Process = peer.Start(tb, peer.Command{Name: "prometheus", Path: path, Dir: dir, Args: []string{"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address,
		"--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=60d", "--storage.tsdb.min-block-duration=1d", "--storage.tsdb.max-block-duration=1d"}})
	peer.Until(tb, time.Minute, "prometheus is ready", func() error { _, err := r.evaluated(""); return err })
	return r
}

// evaluated returns how many rules of groups with this name were evaluated.
func (r *ruler) evaluated(group string) (n float64, err error) {
	resp, err := http.Get(r.url + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := lines.Text()
		failed := strings.HasPrefix(text, "prometheus_rule_evaluation_failures_total{")
		if !failed && !strings.HasPrefix(text, "prometheus_rule_evaluations_total{") || !strings.Contains(text, group) {
			continue
		}
		v, err := strconv.ParseFloat(text[strings.LastIndexByte(text, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		if failed && v > 0 {
			return 0, fmt.Errorf("rules fail: %s", text)
		}
		if !failed {
			n += v
		}
	}
	return n, lines.Err()
}

// rest measures what it takes without rules.
func (r *ruler) rest(tb testing.TB, span time.Duration) {
	begun, cpu := time.Now(), r.CPU()
	wait(tb.Context(), span)
	r.idle = (r.CPU() - cpu).Seconds() / time.Since(begun).Seconds()
}

// cost loads rules and returns the processor seconds of one evaluation of all of them, over so many; size is how many rules the group has
// that takes the time.
func (r *ruler) cost(tb testing.TB, rules, group string, size, evaluations int) float64 {
	tb.Helper()
	before, err := r.evaluated(group)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(r.rules, []byte(rules), 0o600); err != nil {
		tb.Fatal(err)
	}
	r.Signal(syscall.SIGHUP)
	reach := func(n int) {
		ctx, cancel := context.WithTimeout(tb.Context(), 15*time.Minute)
		defer cancel()
		for {
			got, err := r.evaluated(group)
			switch {
			case err != nil:
				tb.Fatal(err)
			case got-before >= float64(n*size):
				wait(ctx, time.Second) // what follows it, and the other groups
				return
			case ctx.Err() != nil:
				tb.Fatalf("%v of %d rules were evaluated", got-before, n*size)
			}
			wait(ctx, time.Second)
		}
	}
	reach(1) // the first one reads cold files
	begun, cpu := time.Now(), r.CPU()
	reach(1 + evaluations)
	return ((r.CPU() - cpu).Seconds() - r.idle*time.Since(begun).Seconds()) / float64(evaluations)
}

// says fails when a query has fewer results, or one that is no number: the rules would have been cheap for nothing.
func (r *ruler) says(tb testing.TB, query string, results int) {
	tb.Helper()
	resp, err := http.Get(r.url + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		tb.Fatal(err)
	}
	n := 0
	for _, v := range answer.Data.Result {
		if f, err := strconv.ParseFloat(fmt.Sprint(v.Value[1]), 64); err == nil && !math.IsNaN(f) {
			n++
		}
	}
	if n < results {
		tb.Errorf("%s has %d results, want %d: %v", query, n, results, answer.Data.Result)
	}
}

func wait(ctx context.Context, d time.Duration) { until(ctx, time.Now().Add(d)) }

// A sloDay is the processor seconds that one SLO takes in a day.
type sloDay struct {
	what string
	cpu  float64
	how  string
}

// prometheusDays measures Sloth's and Pyrra's rules.
func prometheusDays(tb testing.TB, path string, h history, interval string, evaluations int) []sloDay {
	r := startRuler(tb, path, h)
	ctx, stop := context.WithCancel(tb.Context())
	var wg sync.WaitGroup
	wg.Go(func() { h.feed(ctx, tb, r.url+"/api/v1/write", "", h.every) })
	defer wg.Wait()
	defer stop()
	r.rest(tb, 15*time.Second)
	sloth := r.cost(tb, slothRules(tb, interval), "sloth-slo-sli", slothRatios, evaluations)
	r.says(tb, `{__name__=~"slo:sli_error:ratio_rate.*|slo:period_error_budget_remaining:ratio"}`, slothRatios+1)
	pyrra := r.cost(tb, pyrraIncrease(interval), "checkout-availability-increase", 1, max(2, evaluations/2))
	r.says(tb, "http_requests:increase30d", 2)
	return []sloDay{
		{"Prometheus, the 17 rules of Sloth", sloth * secondsOfDay / slothEvery, fmt.Sprintf("%.3f s an evaluation, every 60 s; above %.4f of a processor at rest", sloth, r.idle)},
		{"Prometheus, Pyrra's increase over 30 days", pyrra * secondsOfDay / pyrraEvery, fmt.Sprintf("%.3f s an evaluation, every 150 s", pyrra)},
	}
}

// serverDay measures a whole Evenkeel process: what it takes above its rest while the series come, twenty times a second instead of every
// 30 s, so that a good part of a day's samples is there. It returns what it takes at rest in a second, too.
func serverDay(tb testing.TB, h history, span time.Duration) (sloDay, float64) {
	e := peer.StartEvenkeel(tb, peer.EvenkeelConfig{Config: peer.WriteConfig(tb, map[string]string{"slo.yaml": peer.SLO("checkout", "availability", "0.999", "")})})
	e.WaitReady(time.Minute)
	token := e.Token("sender")
	wait(tb.Context(), 5*time.Second) // what it does when it starts
	begun, cpu := time.Now(), e.CPU()
	wait(tb.Context(), span/2)
	idle := (e.CPU() - cpu).Seconds() / time.Since(begun).Seconds()
	ctx, stop := context.WithTimeout(tb.Context(), span)
	defer stop()
	begun, cpu = time.Now(), e.CPU()
	h.feed(ctx, tb, e.WriteURL(), token, 50*time.Millisecond)
	wait(tb.Context(), 8*time.Second)
	used := (e.CPU() - cpu).Seconds() - idle*time.Since(begun).Seconds()
	all, err := e.Statuses()
	if err != nil {
		tb.Fatal(err)
	}
	counted := 0.0
	for _, s := range all {
		counted += s.Events.Total
	}
	sent := counted/100 + float64(h.series) // each sample after the first adds 100
	perSample := used / sent
	day := secondsOfDay / h.every.Seconds() * float64(h.series)
	return sloDay{"Evenkeel, the whole server above its rest: HTTP, log, counting, evaluation", perSample * day,
		fmt.Sprintf("%.2f µs a sample over %.0f samples", 1e6*perSample, sent)}, idle
}
