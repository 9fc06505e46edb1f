// Package peer gives tests what stands around Evenkeel in real life: Debian's Prometheus and Alertmanager, newer builds of
// Prometheus and VictoriaMetrics for the benchmark, and Evenkeel itself as a process of its own.
//
// What is fetched or built stays in the user's cache folder, keyed by version, so that a second run starts at once. Nothing is
// installed into the system and no service is started by a package: Debian's packages are downloaded and unpacked, not configured.
// Every process runs in a process group of its own that ends with the test, also when the test is killed. A peer that cannot be
// had fails the test; it never skips.
package peer

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Versions of the peers that are built from source for the benchmark.
const (
	prometheusModule      = "github.com/prometheus/prometheus/cmd/prometheus@v0.316.0"
	prometheusTags        = "remove_all_sd,enable_kubernetes_sd,slicelabels" // without them half a cloud is compiled
	victoriaMetricsModule = "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics@v1.130.0"
)

// fetchTimeout bounds what a peer may take to download or build on a cold machine; Prometheus takes two minutes of two cores.
const fetchTimeout = 30 * time.Minute

// Prepare fetches and builds all peers, so that the time it takes is not a test's.
func Prepare(tb testing.TB) {
	tb.Helper()
	DebianPrometheus(tb)
	DebianAlertmanager(tb)
	Binary(tb)
}

// DebianPrometheus returns the path of Debian's prometheus.
func DebianPrometheus(tb testing.TB) string {
	tb.Helper()
	return debian(tb, "prometheus", "usr/bin/prometheus")
}

// Debian builds the absolute path of its templates into alertmanager, so that an unpacked one does not start.
const alertmanagerShare = "/usr/share/prometheus/alertmanager"

// DebianAlertmanager returns the path of Debian's prometheus-alertmanager and the folder that it must run in: in a copy of the program
// the path of its templates is replaced by one of the same length that means its working directory.
func DebianAlertmanager(tb testing.TB) (path, dir string) {
	tb.Helper()
	original := debian(tb, "prometheus-alertmanager", "usr/bin/prometheus-alertmanager")
	path = original + "-here"
	dir = filepath.Join(filepath.Dir(original), "../..", alertmanagerShare)
	locked(tb, "alertmanager-here", func(context.Context) error {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		program, err := os.ReadFile(original)
		if err != nil {
			return err
		}
		here := []byte(strings.Repeat("./", len(alertmanagerShare)/2))
		if err := os.WriteFile(path+".part", bytes.ReplaceAll(program, []byte(alertmanagerShare), here), 0o755); err != nil {
			return err
		}
		return os.Rename(path+".part", path)
	})
	return path, dir
}

// NewPrometheus returns the path of the Prometheus that the benchmark compares with.
func NewPrometheus(tb testing.TB) string {
	tb.Helper()
	return goInstall(tb, prometheusModule, "prometheus", "-tags", prometheusTags)
}

// VictoriaMetrics returns the path of the single-node VictoriaMetrics that the benchmark compares with.
func VictoriaMetrics(tb testing.TB) string {
	tb.Helper()
	return goInstall(tb, victoriaMetricsModule, "victoria-metrics")
}

// Binary builds cmd/evenkeel and returns its path; when nothing changed that takes a second.
func Binary(tb testing.TB) string {
	tb.Helper()
	root := moduleRoot(tb)
	out := filepath.Join(root, "bin", "evenkeel")
	locked(tb, "evenkeel-"+strings.ReplaceAll(strings.Trim(root, "/"), "/", "-"), func(ctx context.Context) error {
		return run(ctx, root, nil, "go", "build", "-o", out, "./cmd/evenkeel")
	})
	return out
}

// debian downloads a package of this machine's Debian release, unpacks it into the cache and returns the path of one of its files.
func debian(tb testing.TB, pkg, file string) string {
	tb.Helper()
	dir := filepath.Join(cacheDir(tb), "debian", release(tb)+"-"+runtime.GOARCH, pkg)
	path := filepath.Join(dir, "root", file)
	locked(tb, "debian", func(ctx context.Context) error {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return unpackDebian(ctx, dir, pkg)
	})
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("package %s has no %s: %v", pkg, file, err)
	}
	return path
}

// unpackDebian keeps lists and archives of its own below dir, so that it needs no right on the system's.
func unpackDebian(ctx context.Context, dir, pkg string) error {
	lists, archives := filepath.Join(filepath.Dir(dir), "lists"), filepath.Join(filepath.Dir(dir), "archives")
	for _, d := range []string{dir, filepath.Join(lists, "partial"), filepath.Join(archives, "archives", "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	apt := []string{"-q", "-o", "Dir::State::Lists=" + lists, "-o", "Dir::Cache=" + archives, "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=3"}
	for _, args := range [][]string{{"update"}, {"download", pkg}} {
		if err := run(ctx, dir, []string{"DEBIAN_FRONTEND=noninteractive"}, "apt-get", append(apt, args...)...); err != nil {
			return fmt.Errorf("get Debian's package %s (this test needs apt-get and a Debian mirror): %w", pkg, err)
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("unpack %s: found %d archives in %s", pkg, len(debs), dir)
	}
	part := filepath.Join(dir, "root.part")
	if err := run(ctx, dir, nil, "dpkg-deb", "-x", debs[0], part); err != nil {
		return err
	}
	return os.Rename(part, filepath.Join(dir, "root"))
}

// goInstall builds a command of a module at its version into the cache.
func goInstall(tb testing.TB, target, name string, flags ...string) string {
	tb.Helper()
	dir := filepath.Join(cacheDir(tb), "go", strings.ReplaceAll(target, "/", "_"))
	path := filepath.Join(dir, name)
	locked(tb, "go-"+name, func(ctx context.Context) error {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		env := []string{"GOBIN=" + dir, "GOFLAGS="}
		return run(ctx, dir, env, "go", append(append([]string{"install"}, flags...), target)...)
	})
	return path
}

// locked runs fetch while no other test process fetches the same.
func locked(tb testing.TB, name string, fetch func(context.Context) error) {
	tb.Helper()
	dir := filepath.Join(cacheDir(tb), "locks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		tb.Fatalf("lock %s: %v", f.Name(), err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	if err := fetch(ctx); err != nil {
		tb.Fatal(err)
	}
}

func run(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(out, 40))
	}
	return nil
}

// cacheDir is a folder of ours in the user's cache folder.
func cacheDir(tb testing.TB) string {
	tb.Helper()
	base, err := os.UserCacheDir()
	if err != nil {
		tb.Fatalf("the user's cache folder: %v", err)
	}
	return filepath.Join(base, "evenkeel-test")
}

// release is the code name of this machine's Debian release.
func release(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		tb.Fatalf("this test takes its peers from Debian: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(name, `"`)
		}
	}
	return "unknown"
}

func moduleRoot(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			tb.Fatal("no go.mod above the working directory")
		}
		dir = up
	}
}
