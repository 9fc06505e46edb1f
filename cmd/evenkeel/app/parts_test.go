package app

import (
	"bytes"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/console"
)

// If it fails, a combination of settings that cannot work is found at night instead of at the start.
func TestSettingsValidate(t *testing.T) {
	good := Settings{Data: "d", HTTP: ":7480"}
	for want, change := range map[string]func(*Settings){
		"unknown role":           func(s *Settings) { s.Roles = []string{"boss"} },
		"named twice":            func(s *Settings) { s.Roles = []string{"bus", "bus"} },
		"--data is empty":        func(s *Settings) { s.Data = "" },
		"take one of both":       func(s *Settings) { s.NATS, s.Roles = "nats://x", []string{"bus"} },
		"need a NATS":            func(s *Settings) { s.Roles = []string{"api"} },
		"--replicas 2":           func(s *Settings) { s.Replicas = 2 },
		"--tls-key go together":  func(s *Settings) { s.TLSCert = "x" },
		"needs --tls-cert":       func(s *Settings) { s.TLSClientCA = "x" },
		"--nats-tls-key go toge": func(s *Settings) { s.NATSTLSKey = "x" },
		"--http":                 func(s *Settings) { s.HTTP = "" },
		"--otlp-grpc":            func(s *Settings) { s.OTLPGRPC = "x" },
		"write NAME=CONTEXT":     func(s *Settings) { s.DefinitionsFromKube = []string{"admin@eu"} },
		"names no context":       func(s *Settings) { s.DefinitionsFromKube = []string{"eu-1="} },
		"names eu-1 twice":       func(s *Settings) { s.DefinitionsFromKube = []string{"eu-1", "eu-1=other"} },
		"is none of":             func(s *Settings) { s.DefinitionsFromKube, s.DefinitionsTrusted = []string{"eu-1"}, []string{"eu-2"} },
		"the same last name":     func(s *Settings) { s.Config = []string{"a/slos", "b/slos"} },
	} {
		s := good
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	s := good
	if err := s.Validate(); err != nil || len(s.Roles) != len(Roles()) {
		t.Errorf("the defaults: %v, roles %v", err, s.Roles)
	}
	s = good
	if s.NATS = "nats://x"; s.Validate() != nil || s.Has(RoleBus) || !s.Has(RoleAPI) {
		t.Errorf("beside an existing NATS the roles are %v", s.Roles)
	}
}

// If it fails, two processes write into one store and destroy it.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	release, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second lock: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	release, err = lock(dir)
	if err != nil {
		t.Errorf("after the release: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

// If it fails, readiness is green over a damaged store, or red for partitions that another process runs.
func TestStageState(t *testing.T) {
	h := func(n int, state string, lag time.Duration) jetstream.Health {
		return jetstream.Health{Partition: n, State: state, LagTime: lag}
	}
	running := h(0, jetstream.StateRunning, time.Second)
	for want, hs := range map[string][]jetstream.Health{
		reasonReady:      {running, h(1, jetstream.StateElsewhere, 0)},
		reasonRecovering: {running, h(1, jetstream.StateRecovering, 0)},
		reasonBehind:     {running, h(1, jetstream.StateRunning, time.Minute)},
		reasonFailed:     {h(1, jetstream.StateFailed, 0), h(2, jetstream.StateRecovering, 0)},
		reasonDamaged:    {h(1, jetstream.StateDamaged, 0), h(2, jetstream.StateFailed, 0), running},
	} {
		if got := stageState(hs); got.Reason != want {
			t.Errorf("%v: %s, want %s", hs, got.Reason, want)
		}
	}
	if got := stageState([]jetstream.Health{h(3, jetstream.StateDamaged, 0)}); !strings.Contains(got.Message, "evenkeel repair") {
		t.Errorf("damage is told as %q", got.Message)
	}
}

// If it fails, names of metrics change and dashboards go blank.
func TestPublish(t *testing.T) {
	type stats struct {
		FrameBytes, LogLast uint64
		Waiting             int
		Connected           bool
		Queued              atomic.Int64
		Dropped             atomic.Uint64
		hidden              uint64
		Text                string
	}
	s := &stats{FrameBytes: 1, LogLast: 2, Waiting: 3, Connected: true, hidden: 9}
	s.Queued.Store(4)
	s.Dropped.Store(5)
	var b bytes.Buffer
	publish(&b, "evenkeel_log", reflect.ValueOf(s).Elem())
	var got []string
	for _, l := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if l != "" && !strings.HasPrefix(l, "#") {
			got = append(got, l)
		}
	}
	want := []string{"evenkeel_log_frame_bytes_total 1", "evenkeel_log_last 2", "evenkeel_log_waiting 3", "evenkeel_log_connected 1", "evenkeel_log_queued 4", "evenkeel_log_dropped_total 5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// If it fails, one process of several does not find the others, or a role that it has not got is asked of it.
func TestTwoProcessesShareTheWork(t *testing.T) {
	bus := start(t, Settings{Roles: []string{RoleBus, RoleAPI, RoleTick, RoleCatalogue}, NATSListen: "127.0.0.1:0"}, Surroundings{})
	internal := bus.data + "/" + internalToken
	worker := start(t, Settings{Roles: []string{RoleIngest, RoleSLO, RoleNotify}, NATS: bus.at.NATS, NATSPasswordFile: internal}, Surroundings{})
	bus.apply(checkout)
	c := &counters{}
	eventually(t, "samples that the one takes are seen at the other", func() bool {
		c.good += 10
		worker.write(time.Now(), c.values())
		var list console.SLOList
		bus.get("/api/v1/slos", &list)
		return len(list.Items) == 1 && list.Items[0].Events.Total > 0
	})
	if status, _ := worker.do("GET", "/api/v1/slos", worker.admin, nil); status != 404 {
		t.Errorf("a process without the role api answers statuses: %d", status)
	}
	status, b := worker.do("GET", "/metrics", "", nil)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if families, err := parser.TextToMetricFamilies(bytes.NewReader(b)); status != 200 || err != nil || len(families) < 100 {
		t.Errorf("/metrics: status %d, %d families, %v", status, len(families), err)
	}
	var ready console.Readiness
	bus.get("/readyz", &ready)
	if !ready.Ready || len(ready.Roles) != 4 {
		t.Errorf("readiness: %+v", ready)
	}
}
