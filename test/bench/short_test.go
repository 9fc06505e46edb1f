//go:build peers

package bench

import (
	"testing"
	"time"

	"evenkeel.dev/test/load"
)

// A benchmark that no longer runs, or that counts wrong under load, would be noticed only by those who need its numbers.
func TestPeersBenchShort(t *testing.T) {
	f := fleet{series: 20_000, relevant: 10}
	for _, v := range []load.Version{load.V1, load.V2} {
		r := measure(t, startEvenkeel(t), f, v, 2*time.Second, 4)
		if r.note != "" || r.samples < 2*int64(f.series) || r.cpu <= 0 || r.rss <= 0 {
			t.Errorf("version %v: %+v", v, r)
		}
		t.Logf("\n%s", table([]result{r}))
	}
	if took := runLatency(t, f, 50_000, 5, 2); len(took) != 5 || quantile(took, 1) > 10*time.Second {
		t.Errorf("five alerts took %v", took)
	}
}
