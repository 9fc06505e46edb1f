package app

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/VictoriaMetrics/metrics"

	"evenkeel.dev/bus/jetstream"
)

// metrics appends what the parts count, in the Prometheus text format.
func (a *app) metrics(w io.Writer) {
	version := Version()
	metrics.WriteGaugeUint64(w, fmt.Sprintf("evenkeel_build_info{version=%q,commit=%q,goversion=%q}", version.Version, version.Commit, version.Go), 1)
	publish(w, "evenkeel_log", reflect.ValueOf(a.log.Stats()))
	a.partitionMetrics(w)
	a.catalogueMetrics(w)
	a.kubeMetrics(w)
	a.readyMetrics(w)
	if a.settings.Has(RoleSLO) {
		publish(w, "evenkeel_slo", reflect.ValueOf(a.sloStats).Elem())
	}
	if a.agents != nil {
		publish(w, "evenkeel_agents", reflect.ValueOf(&a.agents.gate.Stats).Elem())
		if a.server != nil {
			metrics.WriteGaugeUint64(w, "evenkeel_agents_connected", uint64(a.server.AgentConnections()))
		}
	}
	if a.outlet != nil {
		publish(w, "evenkeel_webhook", reflect.ValueOf(a.outlet.sender.Stats()).Elem())
	}
	if a.deliveries != nil {
		if stats := a.deliveries.stats.Load(); stats != nil {
			publish(w, "evenkeel_notify", reflect.ValueOf(*stats))
		}
	}
	if a.intake != nil {
		a.intake.metrics(w)
	}
	a.observerMetrics(w)
	if a.meshes != nil {
		a.meshes.metrics(w)
	}
	if a.statuses != nil {
		metrics.WriteCounterUint64(w, "evenkeel_view_refused_total", a.statuses.Refused())
		metrics.WriteCounterUint64(w, "evenkeel_view_damaged_frames_total", a.watcher.damaged.Load())
	}
}

// rises reports whether a field of 64 bits of a Stats struct is a counter: all are, but for those that say where something stands.
func rises(field string) bool {
	switch field {
	case "LogFirst", "LogLast", "Generation", "LogBytes", "LogBytesMax", "DiskFree", "DiskReserve", "CacheBytes", "Queued", "InFlightBytes", "InFlightSize", "OverTargets":
		return false
	}
	return true
}

// publish writes each counter and size of a Stats struct: evenkeel_ingest and FrameBytes give evenkeel_ingest_frame_bytes_total.
// Fields of type int and bool are sizes and states, those of type time.Duration gauges in seconds.
func publish(w io.Writer, prefix string, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		name := prefix + "_" + strings.TrimPrefix(snake(f.Name), prefix[strings.LastIndexByte(prefix, '_')+1:]+"_")
		if d, ok := v.Field(i).Interface().(time.Duration); ok {
			metrics.WriteGaugeFloat64(w, name+"_seconds", d.Seconds())
			continue
		}
		n, wide, ok := number(v.Field(i))
		if !ok {
			continue
		}
		if wide && rises(f.Name) {
			metrics.WriteCounterUint64(w, name+"_total", uint64(n))
		} else {
			metrics.WriteGaugeFloat64(w, name, n)
		}
	}
}

// number returns a field's value; wide says that it has 64 bits.
func number(v reflect.Value) (n float64, wide, ok bool) {
	if v.CanAddr() {
		switch c := v.Addr().Interface().(type) {
		case *atomic.Uint64:
			return float64(c.Load()), true, true
		case *atomic.Int64:
			return float64(c.Load()), true, true
		}
	}
	switch v.Kind() {
	case reflect.Uint64:
		return float64(v.Uint()), true, true
	case reflect.Int64:
		return float64(v.Int()), true, true
	case reflect.Int:
		return float64(v.Int()), false, true
	case reflect.Bool:
		if v.Bool() {
			n = 1
		}
		return n, false, true
	}
	return 0, false, false
}

// snake turns FrameBytes into frame_bytes.
func snake(s string) string {
	var b strings.Builder
	rs := []rune(s)
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// family writes one metric with several sets of labels.
func family(w io.Writer, name, kind string, lines func(line func(labels string, v float64))) {
	first := true
	lines(func(labels string, v float64) {
		if first {
			metrics.WriteMetadataIfNeeded(w, name, kind)
			first = false
		}
		fmt.Fprintf(w, "%s{%s} %g\n", name, labels, v)
	})
}

func (a *app) partitionMetrics(w io.Writer) {
	hs := a.worker.Health()
	each := func(f func(h *jetstream.Health) (float64, bool)) func(func(string, float64)) {
		return func(line func(string, float64)) {
			for i := range hs {
				if v, ok := f(&hs[i]); ok {
					line(fmt.Sprintf("stage=%q,partition=\"%d\"", hs[i].Stage, hs[i].Partition), v)
				}
			}
		}
	}
	here := func(h *jetstream.Health) bool { return h.State != jetstream.StateElsewhere }
	family(w, "evenkeel_partition_running", "gauge", each(func(h *jetstream.Health) (float64, bool) {
		if h.State == jetstream.StateRunning {
			return 1, true
		}
		return 0, here(h)
	}))
	family(w, "evenkeel_partition_damaged", "gauge", each(func(h *jetstream.Health) (float64, bool) {
		if h.State == jetstream.StateDamaged {
			return 1, true
		}
		return 0, here(h)
	}))
	family(w, "evenkeel_partition_lag_messages", "gauge", each(func(h *jetstream.Health) (float64, bool) { return float64(h.LagMessages), here(h) }))
	family(w, "evenkeel_partition_lag_seconds", "gauge", each(func(h *jetstream.Health) (float64, bool) { return h.LagTime.Seconds(), here(h) }))
	family(w, "evenkeel_partition_restarts_total", "counter", each(func(h *jetstream.Health) (float64, bool) { return float64(h.Restarts), true }))
}

func (a *app) catalogueMetrics(w io.Writer) {
	a.catalogue.mu.Lock()
	stats, revision, undecodable, waiting := a.catalogue.stats, a.catalogue.revision, a.catalogue.undecodable, a.catalogue.waiting.len()
	a.catalogue.mu.Unlock()
	publish(w, "evenkeel_catalogue", reflect.ValueOf(stats))
	metrics.WriteGaugeUint64(w, "evenkeel_catalogue_revision", revision)
	metrics.WriteGaugeUint64(w, "evenkeel_catalogue_proposals_waiting", uint64(waiting))
	metrics.WriteCounterUint64(w, "evenkeel_catalogue_undecodable_total", undecodable)
	byFolder := func(v func(f *folder) float64) func(func(string, float64)) {
		return func(line func(string, float64)) {
			for _, f := range a.folders {
				line(fmt.Sprintf("source=%q", f.owner), v(f))
			}
		}
	}
	family(w, "evenkeel_config_problems", "gauge", byFolder(func(f *folder) float64 { return float64(f.problems.Load()) }))
	family(w, "evenkeel_config_loads_total", "counter", byFolder(func(f *folder) float64 { return float64(f.loads.Load()) }))
	family(w, "evenkeel_config_failures_total", "counter", byFolder(func(f *folder) float64 { return float64(f.failures.Load()) }))
}

func (a *app) readyMetrics(w io.Writer) {
	family(w, "evenkeel_ready", "gauge", func(line func(string, float64)) {
		for _, r := range a.ready().Roles {
			v := 0.0
			if r.Ready {
				v = 1
			}
			line(fmt.Sprintf("role=%q,reason=%q", r.Role, r.Reason), v)
		}
	})
	family(w, "evenkeel_members", "gauge", func(line func(string, float64)) {
		n := map[string]float64{}
		for _, m := range a.members.List() {
			for _, r := range m.Roles {
				n[r]++
			}
		}
		for _, r := range Roles() {
			line(fmt.Sprintf("role=%q", r), n[r])
		}
	})
}
