// Package notify turns alert events into deliveries, and what came of them into retries, dead letters and silence.
//
// It is a stage and some renderers, both pure. The stage reads alert events (package slo), definitions of targets (package mesh),
// ticks and the results of attempts. It answers with orders, each a [Delivery] in the log: send this once, to this target, not
// after that time. A process beside the stage (bus/webhook, which alone sends) carries each order out and appends a [Result]. All
// that is remembered, and each decision to try again, is in the stage; the sender may die at any moment.
//
// # Who hears of an alert
//
// Firing and resolved alerts are delivered; pending, inactive and late ones are not. An alert goes to the targets that it names: those of
// its global namespace, or, where that has none of the name, of the global namespace "default". An alert that names none goes to
// the default targets: those marked so or called "default", or else the only target of the global namespace; where there is none,
// those of "default". An alert that nobody would hear becomes a dead letter with reason NoTarget, so that it is seen.
//
// # No stale page
//
// An order to say that an alert fires holds for 30 seconds (SAFETY 10). When it lapses (the sender was away, or far behind) the
// stage, which has meanwhile read on, decides anew: the alert still fires, so a fresh order; or it is over, so it is recorded as late
// and nothing is sent. An end is told only to those who were told of the beginning, or may have been.
//
// # At least once
//
// A delivery's ID is stable; an order without a result within a minute is given again. After a failure the next attempt waits 1 s, 2 s,
// 4 s and so on up to 5 minutes, each cut by up to a half (by a hash, so that it replays), and at least what the receiver asked for. After
// 50 failures or 6 hours, or at once when the receiver refuses, it is a dead letter: kept, announced as a public event, and sent
// again when a person asks. Our own silence counts as no failure.
//
// Alertmanager's API is posted to each minute while the alert fires, with an end five minutes ahead, as Prometheus does.
//
// # The Watchdog
//
// An alert named Watchdog always fires: to each alertmanager target every minute, to each alertmanager-webhook and cloudevents
// target every ten (Target.WatchdogEvery, Target.NoWatchdog), and as a public event every minute. Who misses it knows that
// something between the log and them is broken.
//
// # What is held back
//
// An alert that a silence matches, a ticket while a page of its SLO fires, and an alert that fires again within its target's cool-down
// are not told for now (gate.go). That is recorded as a [Hold] with its reason and seen in [View]; when the reason goes and the alert still
// fires, it is told then. Events are never held, nor is the end of what was told before, nor what Alertmanager must be told again, since it
// would take silence for an end. A page inhibits only while somebody is told of it: one that is itself held, or that no receiver takes, does not.
// The Watchdog passes no gate.
//
// # Groups
//
// A target may ask that alerts of one global namespace, service or severity that come within a short wait are told in one message (group.go).
//
// # Bounds
//
// [Config] names them; what happens at each is said there and counted in [Stats].
package notify

import (
	"encoding/json"
	"fmt"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// A Config holds the stage's bounds; a zero field means its default. The outputs depend on them, so that they must stay the same for the life of
// a log: they are for tests and for replay, not for settings.
type Config struct {
	Validity      bus.Time // of an order; default 30 s (SAFETY 10)
	ResultTimeout bus.Time // until an order without a result is given again; default 60 s, above any sender's own timeouts
	BackoffMax    bus.Time // default 5 min: a receiver that is back is used soon
	MaxAttempts   int      // failures until a dead letter; default 50, which is about 3 h
	MaxAge        bus.Time // from the first failure until a dead letter; default 6 h
	Repost        bus.Time // interval for type alertmanager; default 1 min, its alerts end 5 min after the last post
	AlertsMax     int      // firing at once; default 20,000. One more becomes a dead letter with reason Overload
	AlertBytesMax int      // their events as JSON; default 64 MiB, the same happens
	PairsMax      int      // alerts times their targets; default 100,000, the same happens
	EventBytesMax int      // one event; default 64 KiB, the same happens
	DeadMax       int      // dead letters; default 10,000. One more drops the oldest
	DeadBytesMax  int      // their events as JSON; default 16 MiB, the same happens
	TargetsMax    int      // default 1,000. One more is not used
	PerTickMax    int      // orders given by one tick; default 1,000. The rest waits for the next

	SilencesMax          int // active at once; default 1,000. One more is refused
	SilencesNamespaceMax int // of those, in one global namespace; default 250, so that one team cannot use up all
	CoolMax              int // cool-downs remembered; default 100,000. One more is forgotten, and its alert told at once
	GroupMax             int // alerts written out in one message; default 100. The rest is counted in it (truncatedAlerts)
	GroupBytesMax        int // their events as JSON; default 512 KiB, the same happens
	TrialsMax            int // tests of targets remembered; default 100. One more drops the oldest
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *bus.Time
		value bus.Time
	}{{&c.Validity, 30 * bus.Second}, {&c.ResultTimeout, bus.Minute}, {&c.BackoffMax, 5 * bus.Minute}, {&c.MaxAge, 6 * bus.Hour}, {&c.Repost, bus.Minute}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int
		value int
	}{{&c.MaxAttempts, 50}, {&c.AlertsMax, 20_000}, {&c.AlertBytesMax, 64 << 20}, {&c.PairsMax, 100_000}, {&c.EventBytesMax, 64 << 10}, {&c.DeadMax, 10_000}, {&c.DeadBytesMax, 16 << 20}, {&c.TargetsMax, 1_000}, {&c.PerTickMax, 1_000},
		{&c.SilencesMax, 1_000}, {&c.SilencesNamespaceMax, 250}, {&c.CoolMax, 100_000}, {&c.GroupMax, 100}, {&c.GroupBytesMax, 512 << 10}, {&c.TrialsMax, 100}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

// Spec returns the stage "notify": one partition, since targets and their order know no services.
func Spec(c Config) bus.Spec {
	return bus.Spec{
		Name:       "notify",
		Partitions: 1,
		Reads:      []string{bus.SubjectTick, slo.SubjectAlert, mesh.SubjectChange, SubjectResult, SubjectResend, SubjectSilenceRequest, SubjectTrialRequest},
		New:        func(int) bus.Stage { return New(c) },
	}
}

// A Stage implements [bus.Stage]. It is for one goroutine.
type Stage struct {
	c          Config
	targets    map[string]*target // by key
	order      []string           // keys of targets, sorted
	alerts     map[string]*alert  // by ID; firing, or with somebody still to be told of the end
	byKey      map[string][]string
	bySLO      map[string][]string // IDs of alerts
	byDelivery map[string]pairRef
	byBatch    map[string][]pairRef // pairs whose last order went out in a group, by that order's ID
	bytes      int                  // of the events of alerts
	silences   map[string]*Silence
	cool       map[coolKey]bus.Time // until when
	groups     map[string]*group    // that wait to be sent
	trials     []Trial              // oldest first
	dead       deadLetters
	nextDue    bus.Time // no pair is due before
	nextPublic bus.Time // next public Watchdog event
	nextGroup  bus.Time // no group is due before; 0: there is none
	nextEnd    bus.Time // no silence ends and no cool-down is over before; 0: there is none
	now        bus.Time // of the record that is being taken
	stats      Stats
	out        []bus.Draft
}

type pairRef struct{ alert, target string }

// New returns an empty stage.
func New(c Config) *Stage {
	s := &Stage{c: c.withDefaults()}
	s.reset()
	return s
}

func (s *Stage) reset() {
	s.targets, s.order = map[string]*target{}, nil
	s.alerts, s.byKey, s.byDelivery, s.bytes = map[string]*alert{}, map[string][]string{}, map[string]pairRef{}, 0
	s.bySLO, s.byBatch = map[string][]string{}, map[string][]pairRef{}
	s.silences, s.cool, s.groups, s.trials = map[string]*Silence{}, map[coolKey]bus.Time{}, map[string]*group{}, nil
	s.nextGroup, s.nextEnd, s.now = 0, 0, 0
	s.dead = deadLetters{countMax: s.c.DeadMax, bytesMax: s.c.DeadBytesMax}
	s.nextDue, s.nextPublic, s.stats = 0, 0, Stats{}
}

// Step implements [bus.Stage].
func (s *Stage) Step(r *bus.Record) ([]bus.Draft, error) {
	s.out, s.now = nil, r.Time
	switch {
	case r.Subject == bus.SubjectTick:
		s.tick(r.Time)
	case r.Subject == bus.SubjectGap:
		s.stats.Missing += r.Missing
	case r.Subject == mesh.SubjectChange:
		decode(s, r, s.change)
	case r.Subject == SubjectResend:
		decode(s, r, s.resend)
	case r.Subject == SubjectResult:
		decode(s, r, s.result)
	case r.Subject == SubjectSilenceRequest:
		decode(s, r, s.silence)
	case r.Subject == SubjectTrialRequest:
		decode(s, r, s.trial)
	case strings.HasPrefix(r.Subject, slo.SubjectAlert):
		decode(s, r, func(e *slo.AlertEvent, now bus.Time) { s.event(e, r) })
	}
	s.flush(r.Time)
	return s.out, nil
}

// decode hands a record's data to take, or counts that it cannot be read: no record stops the stage.
func decode[T any](s *Stage, r *bus.Record, take func(*T, bus.Time)) {
	var v T
	if err := json.Unmarshal(r.Data, &v); err != nil {
		s.stats.Undecodable++
		return
	}
	take(&v, r.Time)
}

// emit adds a draft whose data is v as JSON.
func (s *Stage) emit(subject string, e *bus.Event, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		// Only a float that JSON cannot hold comes here, and what was read from JSON has none.
		s.stats.Undecodable++
		return
	}
	s.out = append(s.out, bus.Draft{Subject: subject, To: bus.All, Event: e, Data: data})
}

// change takes targets over from the catalogue.
func (s *Stage) change(c *mesh.Change, _ bus.Time) {
	if !c.Accepted {
		return
	}
	for _, ref := range c.Deleted {
		if ref.Kind == KindTarget {
			s.removeTarget(targetKey(ref))
		}
	}
	for i := range c.Set {
		d := &c.Set[i]
		if d.Kind != KindTarget {
			continue
		}
		if err := s.setTarget(d); err != nil {
			s.stats.BadTargets++
			s.removeTarget(targetKey(d.Ref)) // what it was is no longer what its author wants
		}
	}
}

func (s *Stage) setTarget(d *mesh.Definition) error {
	var t Target
	if err := json.Unmarshal(d.Compiled, &t); err != nil {
		return fmt.Errorf("notify: target %s/%s: %w", d.Namespace, d.Name, err)
	}
	t.GlobalNamespace = orDefault(d.GlobalNamespace)
	if t.Name == "" {
		t.Name = d.Name
	}
	if err := t.Validate(); err != nil {
		return fmt.Errorf("notify: target %s/%s: %w", d.Namespace, d.Name, err)
	}
	key := targetKey(d.Ref)
	if old := s.targets[key]; old != nil {
		old.Target = t
		s.wakeTarget(key)
		return nil
	}
	if len(s.targets) >= s.c.TargetsMax {
		s.stats.TargetsOver++
		return nil
	}
	s.targets[key] = &target{Key: key, Target: t}
	s.sortTargets()
	return nil
}

func targetKey(r mesh.Ref) string { return r.APIVersion + " " + r.Namespace + "/" + r.Name }

func orDefault(globalNamespace string) string {
	if globalNamespace == "" {
		return "default"
	}
	return globalNamespace
}
