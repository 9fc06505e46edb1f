package console

import (
	"context"
	"io"
	"net/http"
	"time"

	"evenkeel.dev/bus"
)

// Records gives back what the log holds of telemetry and time, for a replay.
type Records interface {
	// Records writes the records from and including one time to before another, as ingest/history reads them.
	Records(ctx context.Context, from, to bus.Time, w io.Writer) error
}

// maxReplays bounds the readings of the log at one time: each reads as fast as the disk gives.
const maxReplays = 2

func (s *Server) streamRecords(w http.ResponseWriter, r *http.Request) {
	var at [2]bus.Time
	for i, name := range [...]string{"from", "until"} {
		t, err := time.Parse(time.RFC3339Nano, r.URL.Query().Get(name))
		if err != nil {
			s.answer(w, r, nil, Fail(http.StatusBadRequest, "BadTime", name+" is no time; write it like 2026-10-01T00:00:00Z", nil))
			return
		}
		at[i] = bus.TimeOf(t)
	}
	if !enter(&s.counts.Replays, maxReplays) {
		w.Header().Set("Retry-After", "60")
		s.answer(w, r, nil, Fail(http.StatusTooManyRequests, "TooManyReplays", "the log is being read by as many as may at one time; try again in a minute", nil))
		return
	}
	defer s.counts.Replays.Add(-1)
	s.stream(w, r, "evenkeel.log", func(out io.Writer) error { return s.Records.Records(r.Context(), at[0], at[1], out) })
}
