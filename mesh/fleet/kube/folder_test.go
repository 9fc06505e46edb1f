package kube

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const secret = "s3cr3t-Zq81"

// config returns a kubeconfig with contexts; the first is the current one.
func config(server string, contexts ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Config\ncurrent-context: %s\nclusters:\n- {name: c, cluster: {server: %q}}\nusers:\n- {name: u, user: {token: %s}}\ncontexts:\n", contexts[0], server, secret)
	for _, c := range contexts {
		fmt.Fprintf(&b, "- {name: %s, context: {cluster: c, user: u}}\n", c)
	}
	return b.String()
}

func write(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// told is what the clusters are, for comparison: name, from, server or reason.
func told(t *testing.T, f interface {
	Clusters(context.Context) ([]Cluster, error)
}) []string {
	t.Helper()
	clusters, err := f.Clusters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, c := range clusters {
		what := "no way"
		if c.REST != nil {
			what = c.REST.Host
		}
		if strings.Contains(c.Reason, secret) {
			t.Errorf("the reason tells a secret: %s", c.Reason)
		}
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%s | %s | %s | %s", c.Name, c.From, what, c.Reason), " | "))
	}
	return out
}

// If it fails, a cluster of the folder is missing, has another cluster's name, or a file that is none is taken for one.
func TestFolderNames(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "eu-1.yaml", config("https://eu", "admin@eu"))
	write(t, folder, "us.conf", config("https://us", "east", "west"))
	write(t, folder, "asia.kubeconfig", config("https://asia", "x"))
	write(t, folder, "notes.txt", "hello")
	write(t, folder, ".hidden.yaml", config("https://hidden", "h"))
	if err := os.Mkdir(filepath.Join(folder, "more.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"asia | asia.kubeconfig, context x | https://asia", "eu-1 | eu-1.yaml, context admin@eu | https://eu",
		"east | us.conf, context east | https://us", "west | us.conf, context west | https://us",
	}
	if diff := cmp.Diff(want, told(t, NewFolder(folder, nil))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// If it fails, clusters of a Secret that Kubernetes mounts are not seen, or are seen twice, or a renewed Secret changes nothing.
func TestFolderMountedSecret(t *testing.T) {
	folder := t.TempDir()
	mount := func(version, server string) {
		if err := os.Mkdir(filepath.Join(folder, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, version), "eu.yaml", config(server, "x"))
		link := filepath.Join(folder, "..data_tmp")
		if err := os.Symlink(version, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(folder, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount("..2026_01", "https://old")
	if err := os.Symlink("..data/eu.yaml", filepath.Join(folder, "eu.yaml")); err != nil {
		t.Fatal(err)
	}
	f := NewFolder(folder, nil)
	before, err := f.Clusters(t.Context())
	if err != nil || len(before) != 1 || before[0].Name != "eu" || before[0].REST.Host != "https://old" {
		t.Fatalf("got %+v, %v", before, err)
	}
	again, err := f.Clusters(t.Context())
	if err != nil || again[0].Revision != before[0].Revision {
		t.Errorf("nothing changed, and the revision did: %v", err)
	}
	mount("..2026_02", "https://new")
	after, err := f.Clusters(t.Context())
	if err != nil || after[0].REST.Host != "https://new" || after[0].Revision == before[0].Revision {
		t.Errorf("got %+v, %v", after, err)
	}
}

// If it fails, a kubeconfig that works with kubectl where it lies does not work here.
func TestFolderFilesAndPrograms(t *testing.T) {
	folder := t.TempDir()
	text := strings.ReplaceAll(config("https://eu", "x"), `server: "https://eu"`, `server: "https://eu", certificate-authority: ca.pem`)
	text = strings.ReplaceAll(text, "{token: "+secret+"}", "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login, interactiveMode: Never}}")
	write(t, folder, "eu.yaml", text)
	write(t, folder, "ca.pem", "x")
	got, err := NewFolder(folder, nil).Clusters(t.Context())
	if err != nil || len(got) != 1 || got[0].REST == nil || got[0].REST.CAFile != filepath.Join(folder, "ca.pem") || got[0].REST.ExecProvider.Command != filepath.Join(folder, "login") {
		t.Errorf("got %+v, %v", got, err)
	}
}

// If it fails, one broken file hides all clusters of the folder, or tells the token that stands in it.
func TestFolderBrokenFiles(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "a.yaml", config("https://a", "x"))
	write(t, folder, "b.yaml", "users: [{token: "+secret+"\n\t:")
	write(t, folder, "c.yaml", config("https://me:"+secret+"@c", "x"))
	write(t, folder, "d.yaml", config("http://d.example.com", "x"))
	write(t, folder, "e.yaml", strings.ReplaceAll(config("https://e", "x", "z"), "{name: z, context: {cluster: c", "{name: z, context: {cluster: lost"))
	write(t, folder, "f.yaml", strings.Repeat("#", MaxKubeconfig+1))
	write(t, folder, "g.yaml", "token: &"+secret+" {"+secret)
	if err := os.Symlink("nowhere", filepath.Join(folder, "h.yaml")); err != nil {
		t.Fatal(err)
	}
	got := told(t, NewFolder(folder, nil))
	want := []string{
		"a | a.yaml, context x | https://a",
		"b | b.yaml | no way | b.yaml: kubeconfig: the text is no kubeconfig in YAML or JSON",
		"c | c.yaml | no way | c.yaml: kubeconfig: an address in it is no plain URL; one with a user and a password is not taken",
		`d | d.yaml | no way | d.yaml: kubeconfig, context "x": the API server d.example.com would be asked without TLS`,
		"x | e.yaml, context x | https://e",
		`z | e.yaml, context z | no way | e.yaml: kubeconfig, context "z": there is no cluster "lost" in it`,
		"f | f.yaml | no way | f.yaml: it has more than 1048576 bytes",
		"g | g.yaml | no way | g.yaml: kubeconfig: the text is no kubeconfig in YAML or JSON",
		"h | h.yaml | no way | h.yaml: no such file or directory",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// If it fails, a kubeconfig that is just being written ends the observation of its clusters, or a removed one does not.
func TestFolderHoldsWhatWasRight(t *testing.T) {
	folder := t.TempDir()
	f := NewFolder(folder, nil)
	if got := told(t, f); len(got) != 0 {
		t.Errorf("an empty folder has %v", got)
	}
	write(t, folder, "us.conf", config("https://us", "east", "west"))
	told(t, f)
	write(t, folder, "us.conf", "apiVersion: v1\nkind: Con")
	got := told(t, f)
	if len(got) != 2 || !strings.HasPrefix(got[0], "east | us.conf, context east | https://us | us.conf: ") || !strings.HasSuffix(got[0], "what the file said before holds") {
		t.Errorf("while it is broken: %v", got)
	}
	write(t, folder, "us.conf", config("https://us", "east"))
	if diff := cmp.Diff([]string{"us | us.conf, context east | https://us"}, told(t, f)); diff != "" {
		t.Errorf("when it is right again: %s", diff)
	}
	if err := os.Remove(filepath.Join(folder, "us.conf")); err != nil {
		t.Fatal(err)
	}
	if got := told(t, f); len(got) != 0 {
		t.Errorf("when it is gone: %v", got)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Clusters(t.Context()); err == nil {
		t.Error("a folder that is gone must be an error: an empty list would end all observers")
	}
}

// If it fails, a folder of thousands of contexts becomes thousands of observers.
func TestFolderBound(t *testing.T) {
	folder := t.TempDir()
	var contexts []string
	for i := range MaxClusters + 1 {
		contexts = append(contexts, fmt.Sprintf("c%03d", i))
	}
	write(t, folder, "a.yaml", config("https://a", contexts[:MaxClusters]...))
	if got := told(t, NewFolder(folder, nil)); len(got) != MaxClusters {
		t.Errorf("got %d clusters", len(got))
	}
	write(t, folder, "a.yaml", config("https://a", contexts...))
	if _, err := NewFolder(folder, nil).Clusters(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 256") {
		t.Errorf("got %v", err)
	}
}
