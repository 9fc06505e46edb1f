package scrape

import (
	"fmt"
	"strings"
	"testing"

	"evenkeel.dev/ingest"
)

func BenchmarkRead(b *testing.B) {
	const n = 5000
	var text, open strings.Builder
	text.WriteString("# TYPE c_total counter\n")
	open.WriteString("# TYPE c counter\n")
	for i := range n {
		fmt.Fprintf(&text, "c_total{code=\"200\",method=\"GET\",path=\"/v1/things/%d\"} %d\n", i, i)
		fmt.Fprintf(&open, "c_total{code=\"200\",method=\"GET\",path=\"/v1/things/%d\"} %d\n", i, i)
	}
	open.WriteString("# EOF\n")
	for name, c := range map[string]struct{ names, body, contentType string }{
		"text/filtered":        {"none", text.String(), "text/plain"},
		"text/kept":            {".+", text.String(), "text/plain"},
		"openmetrics/filtered": {"none", open.String(), openMetrics},
		"openmetrics/kept":     {".+", open.String(), openMetrics},
	} {
		b.Run(name, func(b *testing.B) {
			e, g, _ := newExposition(b, Job{}, c.names)
			body := []byte(c.body)
			b.ReportAllocs()
			for b.Loop() {
				a := g.Begin(ingest.Sender{Name: "scrape"})
				if err := e.read(a, body, c.contentType, now); err != nil {
					b.Fatal(err)
				}
				a.Drop()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
		})
	}
}
