//go:build bench

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/test/peer"
)

// TestBenchCatalogue applies 10,000 SLOs at once, applies them again without a change, and lists them. Without these numbers nobody could tell what a company's worth of definitions costs.
func TestBenchCatalogue(t *testing.T) {
	const slos, files = 10_000, 20
	folder := t.TempDir()
	for f := range files {
		var b strings.Builder
		for i := f * slos / files; i < (f+1)*slos/files; i++ {
			fmt.Fprintf(&b, "---\napiVersion: evenkeel.dev/v1beta1\nkind: SLO\nmetadata: {name: availability-%d, namespace: shop-%d}\nspec:\n  globalNamespace: shop-%d\n  targetRef: {kind: Service, name: service-%d}\n"+
				"  objective: 99.9%%\n  window: {rolling: 30d}\n  sli: {source: istio, availability: {}}\n", i, i%50, i%50, i)
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("slos-%d.yaml", f)), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := peer.StartEvenkeel(t, peer.EvenkeelConfig{})
	e.WaitReady(time.Minute)
	report := ""
	step := func(what string, args ...string) {
		begun, cpu := time.Now(), e.CPU()
		out, errs, code := e.Run(args...)
		if code != 0 || strings.Count(out, "availability-") < slos {
			t.Fatalf("%s: exit %d: %s", what, code, errs)
		}
		report += fmt.Sprintf("%s: %.1f s, %.1f s of processor, resident %d MiB\n", what, time.Since(begun).Seconds(), (e.CPU() - cpu).Seconds(), residentNow(e)>>20)
	}
	step("10,000 SLOs applied at once", "apply", "-f", folder)
	step("the same again, nothing changes", "apply", "-f", folder)
	step("all listed with their text", "get", "slos", "-o", "json")
	fmt.Print("\n" + report)
}

func residentNow(e *peer.Evenkeel) int64 {
	now, _ := e.RSS()
	return now
}
