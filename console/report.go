package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"evenkeel.dev/slo"
	"evenkeel.dev/slo/report"
	"evenkeel.dev/slo/zone"
)

// Reports adds up minutes of the ledger.
type Reports interface {
	// Report reads what is kept of a span, of the SLOs that keeps says yes to. It is a *report.ErrTooMuch where that is over a bound.
	Report(ctx context.Context, span report.Span, keeps func(slo.StatusKey) bool) (*report.Period, error)
}

// Bounds of reports: each holds up to report.CellsMax days and reads up to 800 days of minutes.
const (
	MaxReports    = 2 // at a time
	reportTimeout = 10 * time.Minute
	reportBeat    = 10 * time.Second // an empty line, so that nobody takes the connection for dead
)

// report answers with a [report.Period]. It takes seconds to minutes: where it takes longer than a beat the answer begins with empty lines, and a
// mistake that is found later stands in the body, in the form of every other one.
func (s *Server) report(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	name := q.Get("tz")
	if name == "" {
		name = "UTC"
	}
	rules, err := zone.Of(name)
	if err != nil {
		s.answer(w, r, nil, Fail(http.StatusBadRequest, "BadQuery", "tz: "+err.Error(), nil))
		return
	}
	span, err := report.NewSpan(q.Get("month"), q.Get("since"), q.Get("until"), rules, s.Now())
	if err != nil {
		s.answer(w, r, nil, Fail(http.StatusBadRequest, "BadQuery", err.Error(), nil))
		return
	}
	keeps := asked(r)
	if !enter(&s.counts.Reports, MaxReports) {
		w.Header().Set("Retry-After", "10")
		writeError(w, http.StatusServiceUnavailable, "TooManyReports", "other reports are being made; ask again in a moment", nil)
		return
	}
	defer s.counts.Reports.Add(-1)
	ctx, cancel := context.WithTimeout(r.Context(), reportTimeout)
	defer cancel()
	p, err := beating(w, func() (*report.Period, error) { return s.Reports.Report(ctx, span, keeps) })
	var much *report.ErrTooMuch
	if errors.As(err, &much) {
		err = Fail(http.StatusRequestEntityTooLarge, "TooLarge", err.Error(), nil)
	}
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	jsonHeader(w)
	if err := p.JSON(w); err != nil {
		s.Logger.Debug("report was not taken to its end", "err", err)
	}
}

// beating calls f, and writes an empty line now and then until it returns.
func beating[T any](w http.ResponseWriter, f func() (T, error)) (T, error) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		beat := time.NewTicker(reportBeat)
		defer beat.Stop()
		for {
			select {
			case <-done:
				return
			case <-beat.C:
			}
			jsonHeader(w)
			if _, err := w.Write([]byte("\n")); err == nil {
				_ = http.NewResponseController(w).Flush() // who is gone ends the request's context
			}
		}
	}()
	defer func() {
		close(done)
		<-ended
	}()
	return f()
}
