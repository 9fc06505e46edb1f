package console

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"

	"evenkeel.dev/mesh"
)

// Definitions compiles, proposes and reads definitions. What it refuses it answers with a *[Failure].
type Definitions interface {
	// List returns the accepted definitions, sorted, and the revision of the catalogue.
	List(ctx context.Context) ([]mesh.Definition, uint64, error)
	// Apply compiles the files and proposes what they define, all or nothing. Mistakes are returned in the answer, not as an error.
	Apply(ctx context.Context, r ApplyRequest) (ApplyAnswer, error)
	// Delete proposes that the definitions go.
	Delete(ctx context.Context, r DeleteRequest) (ApplyAnswer, error)
}

// A File is one text with definitions.
type File struct {
	Name string `json:"name"` // as it shall appear in problems
	Text string `json:"text"`
}

// An ApplyRequest is a wish to set what files define.
type ApplyRequest struct {
	Files          []File
	By             Identity
	DryRun         bool
	Diff           bool // answer with the difference of the source texts
	TakeOwnership  bool
	ExpectRevision *uint64 // that each object must still have; 0: it shall not exist
}

// A DeleteRequest is a wish to delete definitions.
type DeleteRequest struct {
	Refs          []mesh.Ref
	By            Identity
	DryRun        bool
	TakeOwnership bool
	Confirmed     bool // a person said yes to deleting more than half
	Cascade       bool // of a global namespace: all that stands in it as well, in one change
}

// An ApplyAnswer says what became, or would become, of each object. With problems nothing was changed.
type ApplyAnswer struct {
	Objects  []ObjectAction `json:"objects"`
	Problems []mesh.Problem `json:"problems,omitempty"`
	Warnings []mesh.Problem `json:"warnings,omitempty"` // what is taken and does not do what it seems to
	Revision uint64         `json:"revision"`           // of the catalogue, after
	DryRun   bool           `json:"dryRun,omitempty"`
}

// Actions of an [ObjectAction].
const (
	ActionCreated    = "created"
	ActionConfigured = "configured"
	ActionUnchanged  = "unchanged"
	ActionDeleted    = "deleted"
)

// An ObjectAction is what happens to one object.
type ObjectAction struct {
	mesh.Ref
	Action string `json:"action"`
	Diff   string `json:"diff,omitempty"` // unified, of the source texts; only where it was asked for
}

// FilesType is the content type of a JSON body {"files":[{"name","text"}]}; any other body is one file, YAML or JSON.
const FilesType = "application/vnd.evenkeel.files+json"

// readFiles reads the body, within its bound.
func readFiles(w http.ResponseWriter, r *http.Request) ([]File, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxDefinitionsBody))
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != FilesType {
		return []File{{Name: "body", Text: string(body)}}, nil
	}
	var in struct {
		Files []File `json:"files"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, Fail(http.StatusBadRequest, "BadBody", "the body is no list of files: "+err.Error(), nil)
	}
	return in.Files, nil
}

func applyRequest(w http.ResponseWriter, r *http.Request) (ApplyRequest, error) {
	q := ApplyRequest{By: IdentityOf(r.Context())}
	var err error
	if q.DryRun, err = queryBool(r, "dryRun"); err != nil {
		return q, err
	}
	if q.TakeOwnership, err = queryBool(r, "takeOwnership"); err != nil {
		return q, err
	}
	if v := r.URL.Query().Get("expectRevision"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return q, Fail(http.StatusBadRequest, "BadQuery", "expectRevision="+v+" is no revision; it is a number from 0", nil)
		}
		q.ExpectRevision = &n
	}
	q.Files, err = readFiles(w, r)
	return q, err
}

func (s *Server) applyDefinitions(w http.ResponseWriter, r *http.Request) {
	q, err := applyRequest(w, r)
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	s.applied(w, r, q)
}

// applied answers what Apply says; problems are 422.
func (s *Server) applied(w http.ResponseWriter, r *http.Request, q ApplyRequest) {
	a, err := s.Definitions.Apply(r.Context(), q)
	if err == nil && len(a.Problems) > 0 {
		err = Fail(http.StatusUnprocessableEntity, "Invalid", mistakes(len(a.Problems))+"; nothing was changed", map[string]any{"problems": a.Problems})
	}
	if a.Objects == nil {
		a.Objects = []ObjectAction{}
	}
	s.answer(w, r, a, err)
}

func mistakes(n int) string {
	if n == 1 {
		return "1 mistake"
	}
	return strconv.Itoa(n) + " mistakes"
}

func (s *Server) listDefinitions(w http.ResponseWriter, r *http.Request) {
	all, revision, err := s.Definitions.List(r.Context())
	q, id := r.URL.Query(), IdentityOf(r.Context())
	items := []mesh.Definition{}
	for _, d := range all {
		if id.Sees(d.GlobalNamespace) && (!q.Has("kind") || q.Get("kind") == d.Kind) && (!q.Has("namespace") || q.Get("namespace") == d.Namespace) &&
			(!q.Has("gns") || q.Get("gns") == d.GlobalNamespace) {
			items = append(items, d)
		}
	}
	s.answer(w, r, map[string]any{"items": items, "revision": revision, "asOf": timeText(s.Now())}, err)
}

// find returns the definitions that the path names; several API versions may have one kind.
func (s *Server) find(r *http.Request) ([]mesh.Definition, error) {
	kind, namespace, name := r.PathValue("kind"), r.PathValue("namespace"), r.PathValue("name")
	all, _, err := s.Definitions.List(r.Context())
	if err != nil {
		return nil, err
	}
	id, version := IdentityOf(r.Context()), r.URL.Query().Get("apiVersion")
	var found []mesh.Definition
	for _, d := range all {
		if d.Kind == kind && d.Namespace == namespace && d.Name == name && id.Sees(d.GlobalNamespace) && (version == "" || d.APIVersion == version) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return nil, Fail(http.StatusNotFound, "NotFound", "there is no "+kind+" "+namespace+"/"+name, nil)
	case 1:
		return found, nil
	}
	return nil, Fail(http.StatusConflict, "Ambiguous", kind+" "+namespace+"/"+name+" exists in several API versions; name one with ?apiVersion=", nil)
}

func (s *Server) getDefinition(w http.ResponseWriter, r *http.Request) {
	found, err := s.find(r)
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	s.answer(w, r, found[0], nil)
}

func (s *Server) deleteDefinition(w http.ResponseWriter, r *http.Request) {
	found, err := s.find(r)
	q := DeleteRequest{By: IdentityOf(r.Context())}
	for name, to := range map[string]*bool{"dryRun": &q.DryRun, "takeOwnership": &q.TakeOwnership, "confirmed": &q.Confirmed, "cascade": &q.Cascade} {
		if err == nil {
			*to, err = queryBool(r, name)
		}
	}
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	if q.Cascade && found[0].Kind != mesh.KindGlobalNamespace.Kind {
		s.answer(w, r, nil, Fail(http.StatusBadRequest, "BadQuery", "cascade goes with a GlobalNamespace: nothing stands in a "+found[0].Kind, nil))
		return
	}
	q.Refs = []mesh.Ref{found[0].Ref}
	a, err := s.Definitions.Delete(r.Context(), q)
	s.answer(w, r, a, err)
}
