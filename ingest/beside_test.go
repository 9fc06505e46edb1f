package ingest_test

import (
	"testing"

	"evenkeel.dev/ingest"
	"evenkeel.dev/slo"

	"github.com/google/go-cmp/cmp"
)

// The engine would not hear of the buckets beside a bound that does not exist, or would hear of all buckets again and again.
func TestBucketsBesideABoundAreTold(t *testing.T) {
	h := newHouse(t, ingest.Limits{})
	h.SetObjectives(1, []slo.Objective{objective(t, "shop", "checkout", "d_bucket", "le", "0.25", "job", "shop")})
	var all []string
	for _, le := range []string{"0.05", "0.1", "0.5", "1", "+Inf"} {
		all = append(all, le)
		for range 3 {
			h.send(t, ingest.Sender{Name: "p"}, 1, series("d_bucket", "job", "shop", "le", le), series("d_bucket", "job", "other", "le", "0.2"), series("d_count", "job", "shop"))
		}
	}
	want := []string{
		`d_bucket{job="shop", le="0.05"}`, `d_bucket{job="shop", le="0.1"}`, `d_bucket{job="shop", le="0.5"}`,
	}
	if diff := cmp.Diff(want, read(t, 16, h.log.stored).Refused); diff != "" {
		t.Errorf("of %v: %s", all, diff)
	}
}
