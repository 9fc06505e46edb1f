package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"evenkeel.dev/mesh/kube"
)

// A Folder lists the clusters of a folder of kubeconfig files: *.yaml, *.kubeconfig and *.conf; hidden files and folders in it are passed over. A file with one context is a cluster of the file's name without
// its ending, one with several is a cluster for each context, of the context's name. Links are followed, so that a Secret of Kubernetes can be mounted.
//
// A file that is broken is told by the Reason of its clusters, and the others go on. What it said when it was last right holds until it is right again or gone: a file
// that is just being written ends nothing.
type Folder struct {
	path   string
	logger *slog.Logger

	mu   sync.Mutex
	last map[string]remembered // by the name of the file
}

type remembered struct {
	clusters []Cluster // when it was last right
	broken   string    // why it is not right now; "" it is
}

// NewFolder returns the fleet of a folder. It reads nothing yet. The logger hears of files that break and are right again; nil is nobody.
func NewFolder(path string, logger *slog.Logger) *Folder {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Folder{path: path, logger: logger, last: map[string]remembered{}}
}

// Clusters lists the clusters, in the order of file names and contexts.
func (f *Folder) Clusters(ctx context.Context) ([]Cluster, error) {
	files, err := kubeconfigs(f.path)
	if err != nil {
		return nil, fmt.Errorf("folder of kubeconfigs: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Cluster
	seen := map[string]remembered{}
	for _, name := range files {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		seen[name] = f.look(name)
		if out = append(out, seen[name].told(name)...); len(out) > MaxClusters {
			return nil, fmt.Errorf("folder of kubeconfigs %s: it has more than %d clusters", f.path, MaxClusters)
		}
	}
	f.last = seen
	return out, nil
}

// look reads one file, and remembers what it said when it was last right.
func (f *Folder) look(name string) remembered {
	before := f.last[name]
	now, err := read(f.path, name)
	switch {
	case err != nil && before.broken != err.Error():
		f.logger.Warn("a kubeconfig of the folder is not right", "file", name, "error", err)
	case err == nil && before.broken != "":
		f.logger.Info("a kubeconfig of the folder is right again", "file", name)
	}
	if err != nil {
		return remembered{before.clusters, err.Error()}
	}
	return remembered{clusters: now}
}

// told returns the clusters of a file as they are now.
func (r remembered) told(name string) []Cluster {
	switch {
	case r.broken == "":
		return r.clusters
	case len(r.clusters) == 0:
		return []Cluster{{Name: stem(name), From: name, Reason: r.broken}}
	}
	out := slices.Clone(r.clusters)
	for i := range out {
		if out[i].REST != nil {
			out[i].Reason = r.broken + "; what the file said before holds"
		}
	}
	return out
}

var endings = []string{".yaml", ".kubeconfig", ".conf"}

func stem(name string) string { return strings.TrimSuffix(name, filepath.Ext(name)) }

// kubeconfigs lists the files of a folder that could be kubeconfigs, sorted.
func kubeconfigs(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || !slices.Contains(endings, filepath.Ext(name)) || e.IsDir() {
			continue
		}
		if e.Type()&fs.ModeSymlink != 0 {
			if to, err := os.Stat(filepath.Join(folder, name)); err == nil && to.IsDir() {
				continue
			}
		}
		out = append(out, name)
	}
	return out, nil
}

// read returns the clusters of one file. Where one context of several is wrong, it alone has a Reason; a file without a right one is an error.
func read(folder, name string) ([]Cluster, error) {
	path := filepath.Join(folder, name)
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	k, err := kube.Parse(text, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	contexts := k.Contexts()
	var out []Cluster
	var wrong error
	for _, c := range contexts {
		cluster := Cluster{Name: c, From: name + ", context " + c, Revision: revision(text, c)}
		if len(contexts) == 1 {
			cluster.Name = stem(name)
		}
		var err error
		if cluster.REST, err = k.Connect(c); err != nil {
			cluster.Reason, wrong = name+": "+err.Error(), err
		}
		out = append(out, cluster)
	}
	if wrong != nil && len(contexts) == 1 {
		return nil, fmt.Errorf("%s: %w", name, wrong)
	}
	return out, nil
}

// readFile reads a regular file of at most MaxKubeconfig bytes.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxKubeconfig+1))
	if err != nil {
		return nil, plain(err)
	}
	if len(text) > MaxKubeconfig {
		return nil, fmt.Errorf("it has more than %d bytes", MaxKubeconfig)
	}
	return text, nil
}

// plain takes the path off an error: the file's name stands before it.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
