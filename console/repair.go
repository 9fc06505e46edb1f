package console

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// Repairs finds damage in the store and mends it, one finding at a time, by a choice that a person makes.
type Repairs interface {
	Diagnose(ctx context.Context) ([]Finding, error)
	// Mend carries out a choice for a finding, both by their IDs.
	Mend(ctx context.Context, finding, choice string) error
}

// A Finding is one damage, what it means and what can be done.
type Finding struct {
	ID        string   `json:"id"`
	Stage     string   `json:"stage,omitempty"`
	Partition int      `json:"partition"`
	Reason    string   `json:"reason"` // one of the Damage constants of package bus
	Message   string   `json:"message"`
	Choices   []Choice `json:"choices"`
}

// A Choice is one way to mend a finding, with what it costs.
type Choice struct {
	ID      string `json:"id"`
	Message string `json:"message"`
}

// A RepairRequest accepts one choice for one finding.
type RepairRequest struct {
	Finding string `json:"finding"`
	Choice  string `json:"choice"`
}

// Backups writes a consistent copy of everything.
type Backups interface {
	Backup(ctx context.Context, w io.Writer) error
}

func (s *Server) explainRepair(w http.ResponseWriter, r *http.Request) {
	found, err := s.Repairs.Diagnose(r.Context())
	if found == nil {
		found = []Finding{}
	}
	s.answer(w, r, map[string]any{"items": found, "asOf": timeText(s.Now())}, err)
}

const maxRepairBody = 64 << 10

func (s *Server) acceptRepair(w http.ResponseWriter, r *http.Request) {
	var q RepairRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRepairBody)).Decode(&q); err != nil {
		s.answer(w, r, nil, Fail(http.StatusBadRequest, "BadBody", "the body is no {\"finding\",\"choice\"}: "+err.Error(), nil))
		return
	}
	found, err := s.Repairs.Diagnose(r.Context())
	if err == nil {
		err = checkChoice(found, q)
	}
	if err == nil {
		err = s.Repairs.Mend(r.Context(), q.Finding, q.Choice)
		s.Logger.Warn("repair accepted", "by", IdentityOf(r.Context()).Name, "finding", q.Finding, "choice", q.Choice, "error", err)
	}
	s.answer(w, r, map[string]string{"finding": q.Finding, "choice": q.Choice, "state": "mended"}, err)
}

func checkChoice(found []Finding, q RepairRequest) error {
	for _, f := range found {
		if f.ID != q.Finding {
			continue
		}
		var known []string
		for _, c := range f.Choices {
			if c.ID == q.Choice {
				return nil
			}
			known = append(known, c.ID)
		}
		return Fail(http.StatusUnprocessableEntity, "UnknownChoice", "finding "+q.Finding+" has no choice "+q.Choice+"; it is one of "+strings.Join(known, ", "), nil)
	}
	return Fail(http.StatusNotFound, "NotFound", "there is no finding "+q.Finding+" now", nil)
}

// backup streams the copy.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	s.stream(w, r, "evenkeel.backup", func(out io.Writer) error { return s.Backups.Backup(r.Context(), out) })
}

// stream answers with a file that write makes. What goes wrong after the first byte cuts the connection, so that nobody takes a part for
// the whole.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, name string, write func(io.Writer) error) {
	out := &fileWriter{ResponseWriter: w, name: name}
	err := write(out)
	switch {
	case err != nil && out.began:
		s.counts.Failed.Add(1)
		s.Logger.Error("a file broke off", "file", name, "error", err)
		panic(http.ErrAbortHandler)
	case err != nil:
		s.answer(w, r, nil, err)
	}
}

type fileWriter struct {
	http.ResponseWriter
	name  string
	began bool
}

// Write sends the head before the first byte.
func (w *fileWriter) Write(b []byte) (int, error) {
	if !w.began {
		w.began = true
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="`+w.name+`"`)
	}
	return w.ResponseWriter.Write(b)
}
