//go:build peers

package bench

import (
	"strings"
	"testing"
	"time"

	"evenkeel.dev/test/peer"
)

// A comparison that no longer runs, or whose rules say nothing, would be noticed only by those who need its numbers.
func TestPeersBenchSLODayShort(t *testing.T) {
	h := history{series: 100, days: 1, every: 30 * time.Second}
	days := prometheusDays(t, peer.DebianPrometheus(t), h, "2s", 2)
	days = append(days, stageDay(t, h.series, 30, 1))
	for _, d := range days {
		t.Logf("%s: %.3f CPU seconds a day, %s", d.what, d.cpu, d.how)
	}
	if len(days) != 3 || days[0].cpu <= 0 {
		t.Errorf("%v", days)
	}
	if said := manySLOs(t, 200, 10, 10, 30, 10); !strings.HasPrefix(said, "200 SLOs over 30 days on 10 metrics with 10 series each") {
		t.Error(said)
	}
}
