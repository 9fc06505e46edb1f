package replay

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/ingest/history"
)

// logOf serves an engine's records as a running engine does, from and to a time.
func logOf(t *testing.T, ms []bus.Message, cut int) *history.Log {
	return history.NewLog("engine", func(_ context.Context, from, to bus.Time) (io.ReadCloser, error) {
		var b bytes.Buffer
		w := history.NewLogWriter(&b)
		for i := range ms {
			if m := &ms[i]; m.Time >= from && m.Time < to && (m.Subject == bus.SubjectTick || strings.HasPrefix(m.Subject, bus.SubjectFrame)) {
				if err := w.Write(m); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return io.NopCloser(bytes.NewReader(b.Bytes()[:b.Len()-cut])), nil
	})
}

func runLog(t *testing.T, l *history.Log, from, until bus.Time, d app.ReplayDefinitions) ([]string, float64) {
	t.Helper()
	r, err := app.Replay(t.Context(), app.ReplayConfig{Definitions: []app.ReplayDefinitions{d}, Log: l, From: from, Until: until, Step: 10 * bus.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return alertTimes(r), r.Runs[0].SLOs[0].Status.Events.Total
}

// A person asks what another objective would have done yesterday, and the engine's own log gives other alert times than the engine itself:
// with the very same definition all are the same, to the millisecond, whatever the delays were with which samples came.
func TestReplayOfTheLogIsWhatHappened(t *testing.T) {
	const hours = 4
	series := incident(5_000)
	d := definitions(t, "0.999", "30d")
	for seed := range uint64(3) {
		e := live(t, d, series[:14], hours, 2_500, seed)
		slices.Sort(e.alerts)
		got, total := runLog(t, logOf(t, e.log, 0), bus.Time(begin), bus.Time(begin)+hours*bus.Hour+bus.Minute, d)
		if !slices.Equal(got, e.alerts) || len(got) < 3 {
			t.Errorf("seed %d: the engine said %v, the replay of its log %v", seed, e.alerts, got)
		}
		// A replay that begins later must know the series that were announced before, and count each sample once.
		_, later := runLog(t, logOf(t, e.log, 0), bus.Time(begin)+hours/2*bus.Hour+2*bus.Minute, bus.Time(begin)+hours*bus.Hour+bus.Minute, d)
		if share := later / total; share < 0.490 || share > 0.494 {
			t.Errorf("seed %d: 118 of 240 minutes count %v of %v events", seed, later, total)
		}
	}
}

// What an engine cut short would be taken for all that there was.
func TestReplayOfALogThatIsCut(t *testing.T) {
	series := incident(5_000)
	d := definitions(t, "0.999", "30d")
	e := live(t, d, series[:14], 1, 0, 1)
	for _, cut := range []int{1, 2, 5, 100} {
		_, err := app.Replay(t.Context(), app.ReplayConfig{Definitions: []app.ReplayDefinitions{d}, Log: logOf(t, e.log, cut), From: bus.Time(begin), Until: bus.Time(begin) + bus.Hour, Step: 10 * bus.Minute})
		if err == nil || !strings.Contains(err.Error(), "cut short") {
			t.Errorf("%d bytes less: %v", cut, err)
		}
	}
}
