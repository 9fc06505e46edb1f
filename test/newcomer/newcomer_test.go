//go:build peers

package newcomer

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/test/peer"
)

// Whoever follows the README and sees something else than it says will not come back.
func TestPeersNewcomer(t *testing.T) {
	clone := copyProject(t)
	web, prometheus := peer.Address(t), peer.Address(t)
	env := []string{"EVENKEEL_HTTP=" + web, "EVENKEEL_NATS_LISTEN=" + peer.Address(t), "EVENKEEL_OTLP_GRPC=" + peer.Address(t), "EVENKEEL_SERVER=http://" + web}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPROXY", "GOPATH"} {
		env = append(env, name+"="+goEnv(t, name))
	}
	engine := peer.Start(t, peer.Command{Name: "make-run", Path: look(t, "make"), Args: []string{"run"}, Dir: clone, Env: env})
	peer.Until(t, 10*time.Minute, "make run has built and started the engine", func() error { return ready(engine, web) })

	c := &commands{tb: t, dir: clone, env: env}
	c.must("check", "deploy/examples")
	replace := strings.NewReplacer("127.0.0.1:7480", web, "127.0.0.1:9090", prometheus, "scrape_interval: 5s", "scrape_interval: 1s")
	config := replace.Replace(block(t, filepath.Join(clone, "README.md"), "yaml"))
	if err := os.WriteFile(filepath.Join(clone, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	peer.Start(t, peer.Command{Name: "prometheus", Path: peer.DebianPrometheus(t), Dir: clone,
		Args: []string{"--config.file=prometheus.yml", "--storage.tsdb.path=" + t.TempDir(), "--web.listen-address=" + prometheus}})
	// A counter that was never shown before counts from its second sample: some good and bad requests first.
	peer.Until(t, time.Minute, "Prometheus answers", func() error { return query(prometheus, "up") })
	burn(t, prometheus, 1)
	peer.Until(t, 2*time.Minute, "the example SLO is healthy", func() error {
		if err := query(prometheus, "up"); err != nil {
			return err
		}
		return says(c.must("status"), "HEALTHY")
	})
	burn(t, prometheus, 300)
	peer.Until(t, 2*time.Minute, "the page comes", func() error {
		return says(c.must("events", "--from", "1", "--follow=false", "--type", "slo.alert", "-o", "json"), `"firing"`)
	})
	t.Log("\n" + c.must("status"))
}

// copyProject copies the project, without what was built and kept in it, into an empty folder.
func copyProject(t *testing.T) string {
	t.Helper()
	root, dir := filepath.Join("..", ".."), t.TempDir()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if slices.Contains([]string{".git", "bin", "data", "evenkeel"}, name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		to := filepath.Join(dir, name)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// block returns the first block of the language in a Markdown file.
func block(t *testing.T, file, language string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+language+"\n")
	body, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("%s has no block of %s", file, language)
	}
	return body
}

func ready(p *peer.Process, address string) error {
	if !p.Running() {
		return fmt.Errorf("%s has ended", p.Name)
	}
	return get("http://" + address + "/readyz")
}

func get(url string) error {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s answers %s %s", url, resp.Status, text)
	}
	return nil
}

func query(prometheus, expr string) error {
	return get("http://" + prometheus + "/api/v1/query?query=" + url.QueryEscape(expr))
}

// burn asks Prometheus for nonsense, as the README does.
func burn(t *testing.T, prometheus string, times int) {
	t.Helper()
	for range times {
		if err := query(prometheus, ")"); err == nil || !strings.Contains(err.Error(), "400") {
			t.Fatalf("a query that is nonsense: %v, want 400", err)
		}
	}
}

// A commands runs ./evenkeel in the clone, as a newcomer does.
type commands struct {
	tb  testing.TB
	dir string
	env []string
}

func (c *commands) must(args ...string) string {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./evenkeel", args...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.tb.Fatalf("evenkeel %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func says(text, want string) error {
	if !strings.Contains(text, want) {
		return fmt.Errorf("%q is not in\n%s", want, text)
	}
	return nil
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func look(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
