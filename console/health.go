package console

import (
	"net/http"
)

// Readiness says, per role, whether the process can do what the role is for.
type Readiness struct {
	Ready bool        `json:"ready"`
	Roles []RoleState `json:"roles"`
}

// A RoleState is one role's readiness. Ingest is ready when it can append, even while stages catch up.
type RoleState struct {
	Role    string `json:"role"`
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason"`            // named constant
	Message string `json:"message,omitempty"` // what is wrong and what to do
	Details any    `json:"details,omitempty"`
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
}

// readyz answers 200 when all roles are ready, else 503; with ?role=ingest it answers for that role alone.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	state := s.Ready()
	if role := r.URL.Query().Get("role"); role != "" {
		only := Readiness{Ready: true}
		for _, rs := range state.Roles {
			if rs.Role == role {
				only.Ready, only.Roles = rs.Ready, append(only.Roles, rs)
			}
		}
		if len(only.Roles) == 0 {
			writeError(w, http.StatusNotFound, "NotHere", "this process does not have the role "+role, nil)
			return
		}
		state = only
	}
	status := http.StatusOK
	if !state.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, state)
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.Version)
}

func (s *Server) listTargets(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"items": s.Targets(), "asOf": timeText(s.Now())})
}
