package slo

import (
	"fmt"
	"runtime"
	"testing"

	"evenkeel.dev/bus"
)

// benchFrames makes frames of the first announcement and of two later rounds of n series, at most 10,000 in each frame.
func benchRound(s *sim, n int, v float64, announce bool) []bus.Record {
	var out []bus.Record
	for i := 0; i < n; {
		src := s.b.Source(bus.Source{Sender: "bench", Newest: s.now})
		for range 10_000 {
			if i == n {
				break
			}
			if announce {
				ls := bus.Labels{{Name: "__name__", Value: "requests"}, {Name: "le", Value: fmt.Sprint(i % 20)}, {Name: "code", Value: []string{"200", "500"}[i%20/19]}, {Name: "pod", Value: fmt.Sprint(i)},
					{Name: "job", Value: "shop"}, {Name: "instance", Value: fmt.Sprint(i / 100)}}.Sort()
				s.b.Announce(0, uint32(i), 0, "", ls.Append(nil))
			}
			s.b.Add(0, src, uint32(i), s.now, 0, v)
			i++
		}
		s.frames++
		data := s.b.Seal(nil, 7, s.frames, 1)
		s.b.Reset()
		f := bus.DecodeFrame(data)
		out = append(out, bus.Record{Subject: bus.SubjectFrame + "w", Data: data, Frame: f, Section: f.Section(0)})
	}
	return out
}

// BenchmarkStepFrame measures one sample of a frame of 10,000, decoding of its columns included: ns/sample and allocs/sample.
func BenchmarkStepFrame(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) { benchStep(b, n, simObjective(b, "0.999", "30d")) })
	}
}

// BenchmarkStepBuckets measures the same of an objective with percentiles, whose series are buckets with twenty bounds that take turns.
func BenchmarkStepBuckets(b *testing.B) {
	o := simObjective(b, "0.999", "30d")
	o.SLI.Good.Terms[0].Selector, o.Percentiles = selectorOf(b, "__name__", "requests", "le", "7"), true
	benchStep(b, 10_000, o)
}

func benchStep(b *testing.B, n int, o Objective) {
	s := newSim(b)
	s.stage.MaxSeriesPerSLO = 2_000_000
	s.define(o)
	before := heap()
	for _, r := range benchRound(s, n, 0, true) {
		s.step(r)
		s.records = nil
	}
	perSeries := float64(heap()-before) / float64(n)
	v, samples := 0.0, 0
	var mallocs uint64
	for b.Loop() {
		b.StopTimer()
		v += 5
		s.run(1)
		s.records, s.drafts = nil, nil
		rs := benchRound(s, n, v, false)
		var m0, m1 runtime.MemStats
		runtime.ReadMemStats(&m0)
		b.StartTimer()
		for i := range rs {
			rs[i].Time = s.now
			if _, err := s.stage.Step(&rs[i]); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		runtime.ReadMemStats(&m1)
		mallocs += m1.Mallocs - m0.Mallocs
		b.StartTimer()
		samples += n
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(samples), "ns/sample")
	b.ReportMetric(float64(mallocs)/float64(samples), "allocs/sample")
	b.ReportMetric(perSeries, "B/series")
	b.ReportMetric(0, "ns/op")
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkTick measures a tick for each SLO, with data in every second.
func BenchmarkTick(b *testing.B) {
	const n = 1000
	s := newSim(b)
	before := heap()
	var os []Objective
	for i := range n {
		o := simObjective(b, "0.999", "30d")
		o.Name = fmt.Sprint("slo", i)
		os = append(os, o)
	}
	s.define(os...)
	perSLO := float64(heap()-before) / n
	v := 0.0
	for b.Loop() {
		b.StopTimer()
		v += 100
		s.send(prom, point{series: "200", t: s.now, v: v}, point{series: "500", t: s.now, v: v / 1000})
		s.flush()
		s.records, s.drafts = nil, nil
		s.now += bus.Second
		b.StartTimer()
		s.tick()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/SLO")
	b.ReportMetric(perSLO, "B/SLO")
	b.ReportMetric(0, "ns/op")
}
