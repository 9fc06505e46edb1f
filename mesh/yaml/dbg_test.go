package yaml

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

func FuzzDbg(f *testing.F) {
	for _, s := range []string{head, "- " + head, "a: &a [*a]", "{\"a\":1}", "--- |\n  x", "a: !!int 5", "? [a]\n: b", "a: 'x", "<<: {a: 1}", "%YAML 1.2\n---\na: 1", "a: |2\n   x\n", "\t", "a:\r\n  b: >+\r\n   c\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tm := time.AfterFunc(1500*time.Millisecond, func() {
			b := make([]byte, 1<<16)
			n := runtime.Stack(b, true)
			os.WriteFile("/tmp/defs/hang.txt", []byte(fmt.Sprintf("%q\n%s", text, b[:n])), 0o644)
			os.Exit(3)
		})
		defer tm.Stop()
		docs, _ := Parse("f.yaml", []byte(text))
		for _, d := range docs {
			Parse("g.yaml", []byte(d.Source))
			Parse("h.json", d.JSON)
		}
	})
}
