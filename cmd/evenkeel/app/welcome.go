package app

import (
	"fmt"
	"io"
	"path/filepath"
)

// welcome says, at the first run, what there is and how to begin.
func (a *app) welcome(w io.Writer, at Addresses) {
	if w == nil {
		return
	}
	path := func(name string) string {
		p, err := filepath.Abs(filepath.Join(a.settings.Data, name))
		if err != nil {
			return filepath.Join(a.settings.Data, name)
		}
		return p
	}
	fmt.Fprintf(w, "\nEvenkeel runs for the first time on %s.\n\n", a.settings.Data)
	fmt.Fprintf(w, "  HTTP           %s    (evenkeel status, evenkeel apply -f FILE)\n", at.HTTP)
	if at.OTLPGRPC != "" {
		fmt.Fprintf(w, "  OTLP gRPC      %s, and OTLP over HTTP at %s/v1/metrics\n", at.OTLPGRPC, at.HTTP)
	}
	if at.NATS != "" {
		fmt.Fprintf(w, "  Events         %s    (nats sub 'evenkeel.>', the admin token as password)\n", at.NATS)
	}
	fmt.Fprintf(w, "  Admin token    in %s\n  Sender token   in %s\n", path(adminToken), path(senderToken))
	if a.intake == nil {
		return
	}
	fmt.Fprintf(w, "\nFor Prometheus, in prometheus.yml:\n\n  remote_write:\n    - url: %s/api/v1/write\n      authorization:\n        credentials_file: %s\n\n", at.HTTP, path(senderToken))
}
