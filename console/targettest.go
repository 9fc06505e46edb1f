package console

import (
	"context"
	"net/http"
)

// TargetTests says whether notification targets can be reached.
type TargetTests interface {
	// Find returns the notification target of a namespace and name; ok is false where there is none.
	Find(ctx context.Context, namespace, name string) (t NotificationTarget, ok bool, err error)
	// Test sends one message, marked as a test, to the target, and returns what came of it.
	Test(ctx context.Context, t NotificationTarget, by Identity) (TargetTest, error)
}

// A NotificationTarget is a receiver of alerts.
type NotificationTarget struct {
	Key             string
	Namespace       string
	Name            string
	Type            string
	GlobalNamespace string
}

// A TargetTest is what came of a test. Outcome is "delivered", or else what went wrong: "retry" (it may go better next time), "rejected",
// "expired" (nobody sent it in time).
type TargetTest struct {
	ID      string `json:"id"`
	Target  string `json:"target"`
	Type    string `json:"type"`
	Outcome string `json:"outcome"`
	Status  int    `json:"status,omitempty"` // HTTP status or SMTP reply
	Message string `json:"message,omitempty"`
}

func (s *Server) testTarget(w http.ResponseWriter, r *http.Request) {
	namespace, name, by := r.PathValue("namespace"), r.PathValue("name"), IdentityOf(r.Context())
	t, ok, err := s.TargetTests.Find(r.Context(), namespace, name)
	if err == nil && (!ok || !by.Sees(t.GlobalNamespace)) {
		err = Fail(http.StatusNotFound, "NotFound", "there is no AlertNotificationTarget "+namespace+"/"+name, nil)
	}
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	result, err := s.TargetTests.Test(r.Context(), t, by)
	s.answer(w, r, result, err)
}
