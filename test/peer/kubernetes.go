package peer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// kubernetesVersion finds the version that the programs say of themselves, which clients read, in the module's go.mod.
var kubernetesVersion = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)`)

// A program is one command of the module test/kubernetes.
type program struct {
	name, pkg string
	tags      string
}

// The programs of a cluster, smallest first, so that what is wrong with the module shows early.
var clusterPrograms = []program{
	{name: "etcd", pkg: "go.etcd.io/etcd/server/v3"},
	{name: "kwok", pkg: "sigs.k8s.io/kwok/cmd/kwok"},
	{name: "kube-apiserver", pkg: "k8s.io/kubernetes/cmd/kube-apiserver"},
	{name: "kube-controller-manager", pkg: "k8s.io/kubernetes/cmd/kube-controller-manager"},
	{name: "kube-scheduler", pkg: "k8s.io/kubernetes/cmd/kube-scheduler"},
}

var istiodProgram = program{name: "pilot-discovery", pkg: "istio.io/istio/pilot/cmd/pilot-discovery", tags: "vtprotobuf,disable_pgv"}

// workloadProgram is the project's own; its tags are istiod's, so that what both need is compiled once.
var workloadProgram = program{name: "workload", pkg: "./workload", tags: istiodProgram.tags}

// validateProgram is the project's own as well.
var validateProgram = program{name: "istio-validate", pkg: "./validate", tags: istiodProgram.tags}

// A moduleFile is a file of a module that a program needs when it runs.
type moduleFile struct{ module, path, name string }

var clusterFiles = []moduleFile{
	{"sigs.k8s.io/kwok", "kustomize/stage/node/fast/node-initialize.yaml", "stages/node-initialize.yaml"},
	{"sigs.k8s.io/kwok", "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml", "stages/node-heartbeat-with-lease.yaml"},
	{"sigs.k8s.io/kwok", "kustomize/stage/pod/fast/pod-ready.yaml", "stages/pod-ready.yaml"},
	{"sigs.k8s.io/kwok", "kustomize/stage/pod/fast/pod-complete.yaml", "stages/pod-complete.yaml"},
	{"sigs.k8s.io/kwok", "kustomize/stage/pod/fast/pod-delete.yaml", "stages/pod-delete.yaml"},
}

var istiodFiles = []moduleFile{
	{"istio.io/istio", "manifests/charts/base/files/crd-all.gen.yaml", "istio-crds.yaml"},
	{"sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_gateways.yaml", "gateway-api/gateways.yaml"},
	{"sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml", "gateway-api/httproutes.yaml"},
}

// Kubernetes returns the folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok, and with kwok's stages in
// its folder stages. On a cold machine they are built, which takes several minutes of all cores.
func Kubernetes(tb testing.TB) string {
	tb.Helper()
	return kubernetesModule(tb, clusterPrograms, clusterFiles)
}

// Istiod returns the folder with pilot-discovery, istio-crds.yaml, the CRDs of Istio, and gateway-api, a folder of CRDs of the Gateway API.
func Istiod(tb testing.TB) string {
	tb.Helper()
	return kubernetesModule(tb, []program{istiodProgram}, istiodFiles)
}

// Workload builds test/kubernetes/workload, a service of a mesh without a proxy, and returns its path; when nothing changed that takes a
// second.
func Workload(tb testing.TB) string {
	tb.Helper()
	return own(tb, workloadProgram)
}

// IstioValidate builds test/kubernetes/validate, which says what Istio has against objects, and returns its path.
func IstioValidate(tb testing.TB) string {
	tb.Helper()
	return own(tb, validateProgram)
}

// own builds a program of test/kubernetes.
func own(tb testing.TB, p program) string {
	tb.Helper()
	root := moduleRoot(tb)
	path := filepath.Join(root, "bin", p.name)
	locked(tb, "kubernetes", func(ctx context.Context) error {
		return p.build(ctx, filepath.Join(root, "test", "kubernetes"), path, "")
	})
	return path
}

// kubernetesModule builds what is missing of the programs and copies the files that are missing. The lock is taken for each program anew:
// one build at a time, each with its own bound of time.
func kubernetesModule(tb testing.TB, programs []program, files []moduleFile) string {
	tb.Helper()
	source := filepath.Join(moduleRoot(tb), "test", "kubernetes")
	dir := filepath.Join(cacheDir(tb), "go", "kubernetes-"+moduleDigest(tb, source)+"-"+runtime.GOARCH)
	for _, p := range programs {
		locked(tb, "kubernetes", func(ctx context.Context) error { return p.fetch(ctx, tb, source, dir) })
	}
	locked(tb, "kubernetes", func(ctx context.Context) error {
		for _, f := range files {
			if err := f.copy(ctx, source, dir); err != nil {
				return err
			}
		}
		return nil
	})
	return dir
}

// moduleDigest is a digest of all versions that the module names.
func moduleDigest(tb testing.TB, dir string) string {
	tb.Helper()
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			tb.Fatal(err)
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// fetch builds the program unless it is there.
func (p program) fetch(ctx context.Context, tb testing.TB, source, dir string) error {
	path := filepath.Join(dir, p.name)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	module, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return err
	}
	version := kubernetesVersion.FindSubmatch(module)
	if version == nil {
		return fmt.Errorf("%s requires no k8s.io/kubernetes", source)
	}
	tb.Logf("building %s, which is not in the cache", p.name)
	begun := time.Now()
	if err := p.build(ctx, source, path, "-X k8s.io/component-base/version.gitVersion="+string(version[1])); err != nil {
		return err
	}
	tb.Logf("built %s in %.0f s", p.name, time.Since(begun).Seconds())
	return nil
}

// build builds the program. All are built with the same settings of cgo and paths, or what they share would be compiled more than once.
func (p program) build(ctx context.Context, source, path, ldflags string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	env := []string{"CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off"}
	args := []string{"build", "-trimpath", "-tags", p.tags, "-ldflags", "-s -w " + ldflags, "-o", path + ".part", p.pkg}
	if err := run(ctx, source, env, "go", args...); err != nil {
		return fmt.Errorf("build %s (this test needs Go and its module proxy): %w", p.name, err)
	}
	return os.Rename(path+".part", path)
}

// copy copies the file out of the module's source unless it is there.
func (f moduleFile) copy(ctx context.Context, source, dir string) error {
	path := filepath.Join(dir, f.name)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", f.module)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("find the source of %s: %w\n%s", f.module, err, stderr.Bytes())
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(f.path)))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".part", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
