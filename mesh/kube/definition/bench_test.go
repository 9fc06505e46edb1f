package definition

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkPass says what as many objects cost as are taken from one cluster: the first look, which compiles all of them and one at
// which nothing changed. B/object is what the process holds for each, the catalogue's share among it.
func BenchmarkPass(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			before := heap()
			w := newWorld(b, "eu-1", false, Bounds{NamespaceObjects: 20_000}, many(n)...)
			w.define("dir:slos", shop)
			ctx, stop := context.WithCancel(b.Context())
			defer stop()
			for _, r := range w.source.readers {
				go r.informer.RunWithContext(ctx)
			}
			for len(w.source.read()) < len(w.source.readers) || len(w.source.readers[1].informer.GetStore().ListKeys()) < n {
				runtime.Gosched()
			}
			begun := time.Now()
			if err := w.source.pass(ctx); err != nil || w.owned() != n {
				b.Fatalf("%d of %d stand: %v", w.owned(), n, err)
			}
			first, after := time.Since(begun), heap()
			for b.Loop() {
				if err := w.source.pass(ctx); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(first.Seconds(), "s/first")
			b.ReportMetric(float64(after-before)/float64(n), "B/object")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
