//go:build bench || peers

package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/promql"
)

// Partitions of the stages in process, as a server has by default.
const partitions = bus.DefaultPartitions

// A crowd is the slo stages of a server, all partitions in this process, and the frames that a log would hold: each service has one SLO
// over 30 days and some series, which are told in turn once an interval.
type crowd struct {
	stages   [partitions]*slo.Stage
	services int
	names    int // of metrics; services share them in turn
	each     int // series of a service
	interval int // seconds
	now      bus.Time
	seq      uint64
	frames   uint64
	builder  bus.FrameBuilder
	cpu      time.Duration // in the stages, decoding of frames included
	samples  int64
}

func newCrowd(tb testing.TB, services, names, each, interval int) *crowd {
	tb.Helper()
	c := &crowd{services: services, names: names, each: each, interval: interval, now: 1_800_000_000_000}
	for p := range c.stages {
		st, err := slo.NewStage(slo.Config{Partition: p, Partitions: partitions})
		if err != nil {
			tb.Fatal(err)
		}
		c.stages[p] = st
	}
	sets := make([][]mesh.Definition, partitions)
	for i := range services {
		p := c.partition(i)
		sets[p] = append(sets[p], c.definition(tb, i))
	}
	for p, set := range sets {
		data, err := json.Marshal(mesh.Change{Accepted: true, Revision: 1, Set: set})
		if err != nil {
			tb.Fatal(err)
		}
		c.step(tb, p, &bus.Record{Subject: mesh.SubjectChange, Data: data})
	}
	return c
}

func (c *crowd) partition(service int) int {
	return bus.Partition("default", serviceName(service), partitions)
}

func (c *crowd) metric(service int) string {
	return fmt.Sprintf("app_%d_requests_total", service%c.names)
}

func (c *crowd) definition(tb testing.TB, i int) mesh.Definition {
	tb.Helper()
	good, err := promql.Compile(fmt.Sprintf(`sum(rate(%s{service=%q,code!~"5.."}[5m]))`, c.metric(i), serviceName(i)))
	if err != nil {
		tb.Fatal(err)
	}
	total, err := promql.Compile(fmt.Sprintf(`sum(rate(%s{service=%q}[5m]))`, c.metric(i), serviceName(i)))
	if err != nil {
		tb.Fatal(err)
	}
	o := slo.Objective{GlobalNamespace: "default", Service: serviceName(i), Name: "availability", Target: slo.MustDecimal("0.999"), Method: slo.MethodOccurrences,
		Window: slo.Window{Type: slo.WindowRolling, Duration: slo.Duration(30 * bus.Day)}, SLI: slo.SLI{Good: &good, Total: total}}
	compiled, err := json.Marshal([]slo.Objective{o})
	if err != nil {
		tb.Fatal(err)
	}
	return mesh.Definition{Ref: mesh.Ref{APIVersion: "openslo/v1", Kind: "SLO", Namespace: "default", Name: serviceName(i)}, Revision: 1, Compiled: compiled}
}

func (c *crowd) step(tb testing.TB, partition int, r *bus.Record) {
	c.seq++
	r.Seq, r.Time = c.seq, c.now
	if _, err := c.stages[partition].Step(r); err != nil {
		tb.Fatal(err)
	}
}

// second sends what is due in one second as one frame, and ticks. Only the stages' time is counted.
func (c *crowd) second(tb testing.TB, announce bool) {
	due := int(c.now/bus.Second) % c.interval
	v := float64(c.now/bus.Second) * 3
	for i := due; i < c.services; i += c.interval {
		p := c.partition(i)
		src := c.builder.Source(bus.Source{Sender: "bench", Newest: c.now})
		for k := range c.each {
			ref := uint32(i*c.each + k)
			if announce {
				code := "200"
				if k == 9 {
					code = "500"
				}
				ls := bus.Labels{{Name: "__name__", Value: c.metric(i)}, {Name: "service", Value: serviceName(i)}, {Name: "code", Value: code}, {Name: "job", Value: "pods"},
					{Name: "instance", Value: strconv.Itoa(i)}, {Name: "path", Value: strconv.Itoa(k)}}.Sort()
				c.builder.Announce(p, ref, 0, "", ls.Append(nil))
			}
			if k != 9 {
				c.builder.Add(p, src, ref, c.now, 0, v+float64(k))
			} else {
				c.builder.Add(p, src, ref, c.now, 0, float64(int64(v)/10_000))
			}
			c.samples++
		}
	}
	c.frames++
	data := c.builder.Seal(nil, 7, c.frames, 1)
	c.builder.Reset()
	cpu := processorTime()
	f := bus.DecodeFrame(data)
	for p := range c.stages {
		if s := f.Section(p); !s.Empty() {
			c.step(tb, p, &bus.Record{Subject: bus.SubjectFrame + "w", Data: data, Frame: f, Section: s})
		}
	}
	c.now += bus.Second
	for p := range c.stages {
		c.step(tb, p, &bus.Record{Subject: bus.SubjectTick})
	}
	c.cpu += processorTime() - cpu
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the memory of this process after what is free has been given back.
func resident() int64 {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	return n << 10
}

// manySLOs measures a crowd: memory, and the load of seconds that pass.
func manySLOs(tb testing.TB, services, names, each, interval, seconds int) string {
	before := resident()
	c := newCrowd(tb, services, names, each, interval)
	for range interval {
		c.second(tb, true)
	}
	sight := c.cpu.Seconds() / float64(c.samples)
	for range 30 {
		c.second(tb, false)
	}
	c.cpu, c.samples = 0, 0
	for range seconds {
		c.second(tb, false)
	}
	held := resident()
	load := c.cpu.Seconds() / float64(seconds)
	return fmt.Sprintf("%d SLOs over 30 days on %d metrics with %d series each, a sample of each every %d s, in %d partitions of one process: %.0f samples/s, %.1f %% of one processor for counting and evaluating each second; "+
		"%.1f µs for the first sight of a series; RSS %d MiB, %d B an SLO with its series\n",
		services, names, each, interval, partitions, float64(c.samples)/float64(seconds), 100*load, 1e6*sight, held>>20, (held-before)/int64(services))
}

// stageDay lets one SLO with many series live through a part of a day in a stage of its own, with a tick in each second, and scales it up.
func stageDay(tb testing.TB, series, interval, hours int) sloDay {
	c := newCrowd(tb, 1, 1, series, interval)
	for range interval {
		c.second(tb, true)
	}
	c.cpu, c.samples = 0, 0
	for range hours * 3600 {
		c.second(tb, false)
	}
	return sloDay{"Evenkeel, the stage alone: counting and 86,400 evaluations in 16 partitions", c.cpu.Seconds() * 24 / float64(hours),
		fmt.Sprintf("%d samples and %d s in %v", c.samples, hours*3600, c.cpu.Round(time.Millisecond))}
}
