package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
)

// folder keeps the definitions of one directory (--config) in the catalogue: what stands in its files is set, what vanished from them
// and is owned by it is deleted. With a mistake anywhere in it nothing of it changes, and the last good state stays.
type folder struct {
	path        string
	owner       string
	definitions *definitions
	logger      *slog.Logger

	applied   string // digest of what was applied last, or was refused for good
	noted     string // digest of what was last complained about
	looked    string // names, sizes and times of the last look that was acted upon
	settling  string // those of the look before, where they differ from looked: a file may be half written
	begun     bool
	lookAgain time.Time

	problems atomic.Int64 // mistakes now
	failures atomic.Uint64
	loads    atomic.Uint64
}

const (
	folderEvery = time.Second
	folderFull  = time.Minute // also without a change of times, since a file may be written twice within their resolution
	folderFiles = 10_000      // more is no folder of definitions but a mistake
)

func newFolder(path string, d *definitions, logger *slog.Logger) (*folder, error) {
	owner, err := ownerOf(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("--config %s is no folder", path)
	}
	return &folder{path: path, owner: owner, definitions: d, logger: logger.With("config", path)}, nil
}

// ownerOf names the source of a folder's definitions by its last name, so that it stays when the folder moves.
func ownerOf(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("--config %s: %w", path, err)
	}
	return mesh.OwnerDirectory + filepath.Base(abs), nil
}

// run looks at the folder every second until ctx ends. A change is acted upon when it has stood still for one look, so that a file that
// is being written is not taken for one that was emptied.
func (f *folder) run(ctx context.Context) error {
	t := time.NewTicker(folderEvery)
	defer t.Stop()
	for {
		if err := f.look(ctx); err != nil && ctx.Err() == nil {
			f.failures.Add(1)
			f.logger.Error("definitions were not applied; the last good state stays", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// look applies the folder if it has changed since it was applied last.
func (f *folder) look(ctx context.Context) error {
	paths, seen, err := f.scan()
	if err != nil {
		return f.once("scan:"+err.Error(), err)
	}
	if seen == f.looked && time.Now().Before(f.lookAgain) {
		return nil
	}
	if f.begun && seen != f.looked && seen != f.settling {
		f.settling = seen // it is acted upon when it stands still until the next look
		return nil
	}
	f.begun, f.settling = true, ""
	files, digest, err := readAll(paths)
	if err != nil {
		return f.once("read:"+err.Error(), err)
	}
	if digest != f.applied {
		if err := f.apply(ctx, files, digest); err != nil {
			return f.once(digest+err.Error(), err)
		}
	}
	f.looked, f.lookAgain = seen, time.Now().Add(folderFull)
	return nil
}

// once returns the error when it is another than the last time, so that a lasting one is logged once.
func (f *folder) once(what string, err error) error {
	if what == f.noted {
		return nil
	}
	f.noted = what
	return err
}

// scan lists the definition files and what tells that they have changed.
func (f *folder) scan() (paths []string, seen string, err error) {
	var b strings.Builder
	err = filepath.WalkDir(f.path, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && p != f.path && strings.HasPrefix(e.Name(), "."):
			return filepath.SkipDir
		case e.IsDir() || !DefinitionFile(e.Name()):
			return nil
		case len(paths) >= folderFiles:
			return fmt.Errorf("%s holds more than %d files", f.path, folderFiles)
		}
		info, err := os.Stat(p) // follows links: a mounted ConfigMap is made of them
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile
		}
		if err != nil || info.IsDir() {
			return err
		}
		paths = append(paths, p)
		fmt.Fprintf(&b, "%s\x00%d\x00%d\n", p, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	return paths, b.String(), err
}

func readAll(paths []string) ([]console.File, string, error) {
	h := sha256.New()
	var files []console.File
	total := 0
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, "", err
		}
		if total += len(b); total > 16*console.MaxDefinitionsBody {
			return nil, "", fmt.Errorf("the files have more than %d bytes together", 16*console.MaxDefinitionsBody)
		}
		fmt.Fprintf(h, "%s\x00%d\x00", p, len(b))
		h.Write(b)
		files = append(files, console.File{Name: p, Text: string(b)})
	}
	return files, hex.EncodeToString(h.Sum(nil)), nil
}

// apply proposes what the files say. A refusal that only another state of the folder can change is not tried again.
func (f *folder) apply(ctx context.Context, files []console.File, digest string) error {
	o, err := f.definitions.carry(ctx, wish{Wish: mesh.Wish{Author: f.owner, ManagedBy: f.owner}, compile: f.compile(files)})
	f.problems.Store(int64(len(o.problems)))
	if len(o.problems) > 0 {
		f.failures.Add(1)
		f.applied = digest
		for _, p := range o.problems {
			f.logger.Error("mistake in a definition; the last good state of the folder stays", "at", p.String())
		}
		return nil
	}
	var no *console.Failure
	if errors.As(err, &no) && no.Code == mesh.ReasonTooManyDeletions {
		f.applied = digest
		return fmt.Errorf("%w; if that is meant, delete them with: evenkeel delete --take-ownership KIND/NAME", err)
	}
	if err != nil {
		return err
	}
	f.applied, f.noted = digest, ""
	f.loads.Add(1)
	for _, p := range o.warnings {
		f.logger.Warn("a definition does not do what it seems to", "at", p.String())
	}
	f.logger.Info("definitions applied", "files", len(files), "changed", len(o.actions), "revision", o.revision)
	return nil
}

// compile sets what the files define and deletes what else the folder owns.
func (f *folder) compile(files []console.File) func([]mesh.Definition) ([]mesh.Definition, []mesh.Ref, []mesh.Problem) {
	return func(existing []mesh.Definition) ([]mesh.Definition, []mesh.Ref, []mesh.Problem) {
		named := map[mesh.Ref]bool{}
		refs, _ := Documents(files) // mistakes are found below
		for _, r := range refs {
			named[r] = true
		}
		var gone []mesh.Ref
		var rest []mesh.Definition
		for i := range existing {
			d := &existing[i]
			if d.ManagedBy == f.owner && !named[d.Ref] {
				gone = append(gone, d.Ref)
			} else {
				rest = append(rest, *d)
			}
		}
		ds, ps := compile(f.definitions.kinds, files, rest)
		return ds, gone, ps
	}
}
