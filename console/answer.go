package console

import (
	"encoding/json"
	"errors"
	"net/http"
)

// An Error is the body of every refusal of the API, under the key "error".
type Error struct {
	Code    string `json:"code"` // named constant, CamelCase
	Message string `json:"message"`
	Details any    `json:"details,omitempty"`
}

// Failure is an error that knows the HTTP status it is answered with. What implements the interfaces of this package returns it where
// the caller is at fault; any other error is answered as 500 and logged.
type Failure struct {
	Status  int
	Code    string
	Message string
	Details any
}

// Fail returns a Failure.
func Fail(status int, code, message string, details any) *Failure {
	return &Failure{status, code, message, details}
}

// Error returns the message.
func (f *Failure) Error() string { return f.Message }

func writeError(w http.ResponseWriter, status int, code, message string, details any) {
	writeJSON(w, status, map[string]Error{"error": {code, message, details}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, `{"error":{"code":"Internal","message":"the answer cannot be encoded"}}`, http.StatusInternalServerError)
		return
	}
	jsonHeader(w)
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that is gone needs no answer
}

func jsonHeader(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
}

// answer writes v, or what err says.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	var f *Failure
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, v)
	case errors.As(err, &f):
		writeError(w, f.Status, f.Code, f.Message, f.Details)
	case errors.As(err, &tooLarge):
		writeError(w, http.StatusRequestEntityTooLarge, "TooLarge", "the body has more bytes than are taken here", map[string]int64{"limit": tooLarge.Limit})
	case r.Context().Err() != nil:
		writeError(w, http.StatusServiceUnavailable, "Cancelled", "the request ended before its answer", nil)
	default:
		s.counts.Failed.Add(1)
		s.Logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		writeError(w, http.StatusInternalServerError, "Internal", err.Error(), nil)
	}
}
