package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// If it fails, a new SLO begins with an empty budget although its history is at hand, or history counts twice.
func TestApplyWithBackfill(t *testing.T) {
	env, _ := running(t, t.TempDir())
	dir := t.TempDir()
	file, past := filepath.Join(dir, "slo.yaml"), filepath.Join(dir, "past.om")
	const definition = `apiVersion: evenkeel.dev/v1beta1
kind: SLO
metadata: {name: answers}
spec:
  targetRef: {kind: Service, name: checkout}
  objective: 99%
  window: {rolling: 2d}
  sli:
    bad: sum(rate(requests_total{code="500"}[5m]))
    total: sum(rate(requests_total[5m]))
`
	end := time.Now().Unix() / 60 * 60
	var om strings.Builder
	om.WriteString("# TYPE requests counter\n")
	for _, code := range []string{"200", "500"} {
		for i := range 2*1440 + 1 {
			v := 99 * i
			if code == "500" {
				v = i
			}
			fmt.Fprintf(&om, "requests_total{code=%q} %d %d\n", code, v, end-2*86400+int64(i)*60)
		}
	}
	om.WriteString("# EOF\n")
	for name, text := range map[string]string{file: definition, past: om.String()} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := command(t, env, "", "apply", "-f", file, "--backfill", "openmetrics:"+past)
	if code != exitDone || !strings.Contains(out, "SLO default/answers created") || !strings.Contains(out, "default/checkout/answers counts from ") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	var good, total, minutes int
	if _, err := fmt.Sscanf(out[strings.Index(out, ": ")+2:], "%d of %d good in %d minutes", &good, &total, &minutes); err != nil || total < 2*1435*100 || total > 2*1440*100 || good*100 != total*99 {
		t.Errorf("%d of %d in %d minutes, %v: %s", good, total, minutes, err, out)
	}
	code, out, errs = command(t, env, "", "status", "default/checkout/answers", "-o", "json")
	if code != exitDone || !strings.Contains(out, fmt.Sprintf(`"total": %d`, total)) {
		t.Errorf("exit %d, want a total of %d: %s%s", code, total, out, errs)
	}
	code, out, errs = command(t, env, "", "apply", "-f", file, "--backfill", "openmetrics:"+past)
	if code != exitDone || !strings.Contains(out, "already") {
		t.Errorf("again: exit %d: %s%s", code, out, errs)
	}
	for args, want := range map[string]int{
		"apply -f " + file + " --since 1d":                                                  exitUsage,
		"apply -f " + file + " --dry-run --backfill openmetrics:" + past:                    exitUsage,
		"apply -f " + file + " --backfill nowhere":                                          exitUsage,
		"apply -f " + file + " --backfill openmetrics:" + past + ".is-not-there --since 5d": exitCould,
	} {
		if code, out, errs := command(t, env, "", strings.Fields(args)...); code != want {
			t.Errorf("evenkeel %s: exit %d, want %d: %s%s", args, code, want, out, errs)
		}
	}
}
