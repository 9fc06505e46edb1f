package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A Prometheus says how to start one.
type Prometheus struct {
	Path        string // of the binary
	Targets     []string
	WriteTo     string // URL of a remote write receiver, "" for none
	BearerToken string
	Receiver    bool // accept remote write itself
}

// Start starts Prometheus, scraping each second, and returns it with its base URL when it is ready.
func (c Prometheus) Start(tb testing.TB) (*Process, string) {
	tb.Helper()
	dir := tb.TempDir()
	config := "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
	if len(c.Targets) > 0 {
		config += fmt.Sprintf("scrape_configs:\n- job_name: exporter\n  static_configs:\n  - targets: %s\n", flow(c.Targets))
	}
	if c.WriteTo != "" {
		config += fmt.Sprintf("remote_write:\n- url: %s\n  authorization: {credentials: %q}\n  queue_config: {batch_send_deadline: 200ms, min_backoff: 50ms, max_backoff: 500ms}\n", c.WriteTo, c.BearerToken)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	address := Address(tb)
	args := []string{"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address}
	if c.Receiver {
		args = append(args, "--web.enable-remote-write-receiver")
	}
	p := Start(tb, Command{Name: "prometheus", Path: c.Path, Dir: dir, Args: args})
	Until(tb, 30*time.Second, "prometheus is ready", func() error { return answers("http://" + address + "/-/ready") })
	return p, "http://" + address
}

// StartAlertmanager starts Debian's Alertmanager with one receiver, a webhook that hears of resolved alerts too, and returns its base URL
// when it is ready.
func StartAlertmanager(tb testing.TB, webhook string) (*Process, string) {
	tb.Helper()
	path, home := DebianAlertmanager(tb)
	dir := tb.TempDir()
	config := "route: {receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}\n" +
		fmt.Sprintf("receivers:\n- name: hook\n  webhook_configs:\n  - {url: %q, send_resolved: true}\n", webhook)
	file := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	address := Address(tb)
	p := Start(tb, Command{Name: "alertmanager", Path: path, Dir: home,
		Args: []string{"--config.file=" + file, "--storage.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address, "--cluster.listen-address="}})
	Until(tb, 30*time.Second, "alertmanager is ready", func() error { return answers("http://" + address + "/-/ready") })
	return p, "http://" + address
}

// StartVictoriaMetrics starts a single-node VictoriaMetrics and returns it with its base URL and data folder when it is ready.
func StartVictoriaMetrics(tb testing.TB, path string) (p *Process, url, data string) {
	tb.Helper()
	data = tb.TempDir()
	address := Address(tb)
	p = Start(tb, Command{Name: "victoria-metrics", Path: path, Dir: data,
		Args: []string{"-storageDataPath=" + data, "-httpListenAddr=" + address, "-retentionPeriod=1d", "-loggerLevel=WARN"}})
	Until(tb, 30*time.Second, "victoria-metrics is ready", func() error { return answers("http://" + address + "/health") })
	return p, "http://" + address, data
}

// flow returns a list of strings in YAML's flow style.
func flow(items []string) string {
	out := "["
	for i, s := range items {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%q", s)
	}
	return out + "]"
}
