package notify

import (
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
	"github.com/google/go-cmp/cmp"
)

func TestFiringAndResolved(t *testing.T) {
	// A page would not come, come twice, or never end.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypePagerDuty, nil)
	w.alert("a1", slo.AlertPending, "oncall")
	w.alert("a1", slo.AlertInactive, "oncall")
	w.alert("a0", slo.AlertLate, "oncall")
	w.none()
	w.alert("a1", slo.AlertFiring, "oncall")
	d := w.one(slo.AlertFiring, 1)
	if d.NotAfter != w.now+30*bus.Second || d.Event.ID != "slo.3.5" || d.Follows != "" {
		t.Errorf("%+v", d)
	}
	w.result(d, OutcomeDelivered, nil)
	w.seconds(600)
	w.none()
	w.alert("a1", slo.AlertResolved, "oncall")
	r := w.one(slo.AlertResolved, 1)
	if r.ID == d.ID || r.Follows != "" || r.Alert.EndsAt == "" {
		t.Errorf("%+v", r)
	}
	w.result(r, OutcomeDelivered, nil)
	w.seconds(600)
	w.none()
	if len(w.s.alerts)+len(w.s.byKey)+len(w.s.byDelivery)+w.s.bytes != 0 {
		t.Error("the alert is over and still kept")
	}
	w.alert("a1", slo.AlertResolved, "oncall")
	w.none()
}

func TestRetries(t *testing.T) {
	// One failed connection would lose a page; or a receiver in trouble would be hammered.
	w := newWorld(t, Config{MaxAttempts: 12, MaxAge: bus.Day})
	w.target("shop", "oncall", TypeSlack, nil)
	w.alert("a1", slo.AlertFiring, "oncall")
	for i := 1; i <= 11; i++ {
		d := w.one(slo.AlertFiring, i)
		w.result(d, OutcomeRetry, nil)
		full := min(bus.Second<<(i-1), 5*bus.Minute)
		waited := bus.Time(0)
		for len(w.sent) == 0 && waited < bus.Hour {
			w.seconds(1)
			waited += bus.Second
		}
		if waited < full/2 || waited > full+bus.Second {
			t.Errorf("attempt %d came after %d ms, want %d to %d", i+1, waited, full/2, full)
		}
	}
	w.result(w.one(slo.AlertFiring, 12), OutcomeRetry, func(r *Result) { r.Message, r.Status = "the receiver answered 500", 500 })
	w.seconds(3600)
	w.none()
	dead := events[DeadEvent](w, DeadEventType)
	want := []DeadEvent{{
		ID: deliveryID("a1", "firing", w.s.order[0]), Target: "oncall", Type: TypeSlack, Reason: DeadExhausted, Message: "the receiver answered 500", Status: 500, Attempts: 12,
		State: "firing", Alert: "a1", GlobalNamespace: "shop", Service: "checkout", SLO: "availability", Tier: "page", Severity: "page",
	}}
	if diff := cmp.Diff(want, dead); diff != "" {
		t.Error(diff)
	}
	w.alert("a1", slo.AlertResolved, "oncall")
	w.one(slo.AlertResolved, 1) // an attempt may have got there
}

func TestAgeBound(t *testing.T) {
	// A receiver that is gone for good would be tried for ever.
	w := newWorld(t, Config{MaxAttempts: 1_000_000})
	w.target("shop", "oncall", TypeSlack, nil)
	w.alert("a1", slo.AlertFiring)
	for range 8 * 3600 {
		for _, d := range w.take() {
			w.result(d, OutcomeRetry, nil)
		}
		w.seconds(1)
	}
	if n := len(events[DeadEvent](w, DeadEventType)); n != 1 {
		t.Errorf("%d dead letters", n)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	// A receiver that limits us would refuse the page again and again.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	w.alert("a1", slo.AlertFiring)
	w.result(w.one(slo.AlertFiring, 1), OutcomeRetry, func(r *Result) { r.RetryAfter = 90 * bus.Second })
	w.seconds(89)
	w.none()
	w.seconds(1)
	w.result(w.one(slo.AlertFiring, 2), OutcomeRetry, func(r *Result) { r.RetryAfter = 30 * bus.Day })
	w.seconds(3601)
	w.one(slo.AlertFiring, 3)
}

func TestRejectedIsDeadAtOnce(t *testing.T) {
	// A wrong routing key would show itself only hours later.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypePagerDuty, nil)
	w.alert("a1", slo.AlertFiring)
	w.result(w.one(slo.AlertFiring, 1), OutcomeRejected, func(r *Result) { r.Status = 400 })
	if dead := events[DeadEvent](w, DeadEventType); len(dead) != 1 || dead[0].Reason != DeadRejected {
		t.Errorf("%+v", dead)
	}
	w.alert("a1", slo.AlertResolved)
	w.seconds(100)
	w.none() // who refused to hear the beginning need not hear the end
	if w.lates() != 0 {
		t.Error("a refused alert is called late")
	}
}

func TestSenderDies(t *testing.T) {
	// A crash between the order and its result would lose the page.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	w.alert("a1", slo.AlertFiring)
	first := w.one(slo.AlertFiring, 1)
	w.seconds(59)
	w.none()
	w.seconds(1)
	second := w.one(slo.AlertFiring, 2)
	if first.ID != second.ID {
		t.Error("the repetition has another ID")
	}
	w.result(first, OutcomeDelivered, nil) // late, and no answer to the second
	w.seconds(30)
	w.none()
	w.result(second, OutcomeDelivered, nil)
	w.seconds(1000)
	w.none()
}

func TestOverBeforeItWasTold(t *testing.T) {
	// After two hours away the engine would page for what is over, or tell the end of what nobody heard of.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	w.alert("a1", slo.AlertFiring)
	d := w.one(slo.AlertFiring, 1)
	w.seconds(5)
	w.alert("a1", slo.AlertResolved)
	w.none() // the order is out: what comes of it is waited for
	w.result(d, OutcomeExpired, nil)
	w.seconds(1000)
	w.none()
	if w.lates() != 1 || w.s.stats.Late != 1 || len(w.s.alerts) != 0 {
		t.Errorf("%d late, %+v", w.lates(), w.s.stats)
	}
}

func TestExpiredAndStillFiring(t *testing.T) {
	// An alert that still fires when the sender is back would never be told.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	w.alert("a1", slo.AlertFiring)
	d := w.one(slo.AlertFiring, 1)
	w.now += 50 * bus.Second // no ticks: the engine is away
	w.result(d, OutcomeExpired, nil)
	d = w.one(slo.AlertFiring, 2)
	if d.NotAfter != w.now+30*bus.Second {
		t.Errorf("holds until %s at %s", d.NotAfter, w.now)
	}
	w.result(d, OutcomeDelivered, nil)
	w.alert("a1", slo.AlertResolved)
	r := w.one(slo.AlertResolved, 1)
	w.now += bus.Minute
	w.result(r, OutcomeExpired, nil)
	w.one(slo.AlertResolved, 2) // the end is good news at any time, and the pager waits for it
}

func TestCatchingUp(t *testing.T) {
	// While the stage reads two hours of log without a sender, it would give the page up as undeliverable.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	w.alert("a1", slo.AlertFiring)
	w.seconds(2 * 3600)
	orders := w.take()
	if len(orders) > 60 {
		t.Errorf("%d orders while nobody answered", len(orders))
	}
	for _, d := range orders {
		w.result(d, OutcomeExpired, nil)
	}
	w.seconds(301) // at the latest
	ds := w.take()
	if len(ds) == 0 || len(events[DeadEvent](w, DeadEventType)) != 0 {
		t.Fatalf("ordered %s", brief(ds))
	}
	w.result(ds[len(ds)-1], OutcomeDelivered, nil)
	w.seconds(600)
	w.none()
}

func TestEndOfWhatMayHaveBeenTold(t *testing.T) {
	// A pager that got the page from a process that died at once would stay open for ever.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypePagerDuty, nil)
	w.alert("a1", slo.AlertFiring)
	f := w.one(slo.AlertFiring, 1)
	w.alert("a1", slo.AlertResolved)
	w.seconds(60) // no result
	r := w.one(slo.AlertResolved, 1)
	if r.Follows != f.ID {
		t.Error("the end does not say what it follows")
	}
	w.result(r, OutcomeLate, nil) // the sender knows that it let the beginning lapse
	w.seconds(100)
	w.none()
	if w.lates() != 1 {
		t.Error("not recorded as late")
	}
}

func TestSkewedSender(t *testing.T) {
	// A sender whose clock is minutes ahead of the log's would let every page lapse.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	w.alert("a1", slo.AlertFiring)
	d := w.one(slo.AlertFiring, 1)
	w.now += bus.Second
	w.result(d, OutcomeExpired, nil)
	if d = w.one(slo.AlertFiring, 2); d.NotAfter != w.now+bus.Day || w.s.stats.Skewed != 1 {
		t.Errorf("holds until %s at %s", d.NotAfter, w.now)
	}
}

func TestAlertmanagerIsPostedAgain(t *testing.T) {
	// Alertmanager ends an alert by itself five minutes after the last post, while it still fires.
	w := newWorld(t, Config{MaxAttempts: 3})
	w.target("shop", "am", TypeAlertmanager, func(t *Target) { t.NoWatchdog = true })
	w.alert("a1", slo.AlertFiring)
	for i := 1; i <= 5; i++ {
		w.result(w.one(slo.AlertFiring, i), OutcomeDelivered, nil)
		w.seconds(59)
		w.none()
		w.seconds(1)
	}
	for range 3600 {
		for _, d := range w.take() {
			w.result(d, OutcomeRetry, nil)
		}
		w.seconds(1)
	}
	if n := len(events[DeadEvent](w, DeadEventType)); n != 1 {
		t.Errorf("%d dead letters in an hour", n)
	}
	for len(w.sent) == 0 {
		w.seconds(1)
	}
	ds := w.take()
	w.result(ds[0], OutcomeDelivered, nil) // it is back
	w.seconds(60)
	ds = w.take()
	w.alert("a1", slo.AlertResolved)
	w.none()
	w.result(ds[0], OutcomeDelivered, nil)
	w.one(slo.AlertResolved, 1)
}

func TestNextFiringSupersedes(t *testing.T) {
	// The late end of one firing would end the next one, or a lost end would leave an incident open.
	w := newWorld(t, Config{})
	w.target("shop", "am", TypeAlertmanager, func(t *Target) { t.NoWatchdog = true })
	w.target("shop", "pager", TypePagerDuty, nil)
	w.alert("a1", slo.AlertFiring, "am", "pager")
	for _, d := range w.take() {
		w.result(d, OutcomeDelivered, nil)
	}
	w.alert("a2", slo.AlertFiring, "am", "pager")
	ds := w.take()
	if brief(ds) != "[pager resolved 1 a1][am firing 1 a2][pager firing 1 a2]" || ds[0].Alert.Reason != ReasonSuperseded {
		t.Error(brief(ds))
	}
}

func TestRouting(t *testing.T) {
	// An alert would go to nobody, or to another team.
	tests := []struct {
		name    string
		targets []string // gns/name, "!" marks a default
		notify  []string
		want    string
		missing string
	}{
		{"named", []string{"shop/a", "shop/b"}, []string{"b"}, "shop/b", ""},
		{"each once", []string{"shop/a", "shop/b"}, []string{"b", "a", "b"}, "shop/a shop/b", ""},
		{"another team's", []string{"bank/a", "shop/b"}, []string{"a"}, "", "a"},
		{"common one", []string{"default/a", "shop/b"}, []string{"a"}, "default/a", ""},
		{"own before common", []string{"default/a", "shop/a"}, []string{"a"}, "shop/a", ""},
		{"only one", []string{"shop/a", "bank/x"}, nil, "shop/a", ""},
		{"marked", []string{"shop/a", "shop/b!", "shop/default", "default/x!"}, nil, "shop/b shop/default", ""},
		{"none marked", []string{"shop/a", "shop/b"}, nil, "", "<none>"},
		{"the common default", []string{"shop/a", "shop/b", "default/x"}, nil, "default/x", ""},
		{"no target", nil, nil, "", "<none>"},
		{"half", []string{"shop/a"}, []string{"a", "gone"}, "shop/a", "gone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, Config{})
			for _, g := range tt.targets {
				gns, name, _ := strings.Cut(g, "/")
				w.target(gns, strings.TrimSuffix(name, "!"), TypeSlack, func(t *Target) { t.Default = strings.HasSuffix(name, "!") })
			}
			w.alert("a1", slo.AlertFiring, tt.notify...)
			var got []string
			for _, d := range w.take() {
				got = append(got, d.Target.GlobalNamespace+"/"+d.Target.Name)
			}
			missing := ""
			for _, d := range events[DeadEvent](w, DeadEventType) {
				if missing = d.Target; missing == "" {
					missing = "<none>"
				}
				if d.Reason != DeadNoTarget {
					t.Error(d.Reason)
				}
			}
			if strings.Join(got, " ") != tt.want || missing != tt.missing {
				t.Errorf("went to %v, missing %q", got, missing)
			}
		})
	}
}

func TestTargetsChange(t *testing.T) {
	// A corrected URL would not be used by what waits, a removed target would still be paged, or a bad one be used.
	w := newWorld(t, Config{TargetsMax: 2})
	w.target("shop", "oncall", TypeSlack, nil)
	w.alert("a1", slo.AlertFiring)
	w.result(w.one(slo.AlertFiring, 1), OutcomeRetry, nil)
	w.target("shop", "oncall", TypeSlack, func(t *Target) { t.URL = "https://new.example.com" })
	w.seconds(2)
	d := w.one(slo.AlertFiring, 2)
	if d.Target.URL != "https://new.example.com" {
		t.Error(d.Target.URL)
	}
	w.removeTarget("shop", "oncall")
	w.result(d, OutcomeRetry, nil)
	w.seconds(1000)
	w.none()
	w.target("shop", "bad", "carrier-pigeon", nil)
	w.target("shop", "a", TypeSlack, nil)
	w.target("shop", "b", TypeSlack, nil)
	w.target("shop", "c", TypeSlack, nil)
	w.step("log.draft.mesh.change", nil, "{")
	st := w.s.Stats()
	if diff := cmp.Diff([]uint64{1, 1, 1}, []uint64{st.BadTargets, st.TargetsOver, st.Undecodable}); diff != "" || len(w.s.targets) != 2 {
		t.Errorf("%d targets, %s", len(w.s.targets), diff)
	}
}

func TestWatchdog(t *testing.T) {
	// Nobody would notice that alerts no longer get through.
	w := newWorld(t, Config{})
	w.target("shop", "am", TypeAlertmanager, nil)
	w.target("shop", "hook", TypeAlertmanagerWebhook, nil)
	w.target("shop", "fast", TypeCloudEvents, func(t *Target) { t.WatchdogEvery = slo.Duration(30 * bus.Second) })
	w.target("shop", "off", TypeCloudEvents, func(t *Target) { t.NoWatchdog = true })
	w.target("shop", "chat", TypeSlack, nil)
	w.target("shop", "pager", TypePagerDuty, nil)
	w.seconds(3600)
	got := map[string]int{}
	ids := map[string]bool{}
	for _, d := range w.dogs {
		got[d.Target.Name]++
		ids[d.ID] = true
		w.result(d, OutcomeRetry, nil)
	}
	if diff := cmp.Diff(map[string]int{"am": 61, "hook": 7, "fast": 121}, got); diff != "" || len(ids) != len(w.dogs) {
		t.Errorf("%d IDs for %d: %s", len(ids), len(w.dogs), diff)
	}
	if n := len(events[WatchdogEvent](w, WatchdogEventType)); n != 61 {
		t.Errorf("%d public Watchdogs in an hour", n)
	}
	w.none()
	if v := w.s.View(0); v.Targets[0].Name != "am" || v.Targets[0].Health.Failed != 1 || len(v.Pending) != 0 {
		t.Errorf("%+v", v.Targets[0])
	}
}

func TestResend(t *testing.T) {
	// A person could not send again what was given up while the receiver was wrong.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	resend := func() {
		w.step(SubjectResend, nil, Resend{IDs: []string{w.s.dead.list[0].ID, "unknown"}, Author: "alice"})
	}
	w.alert("a1", slo.AlertFiring)
	w.result(w.one(slo.AlertFiring, 1), OutcomeRejected, nil)
	resend()
	d := w.one(slo.AlertFiring, 2)
	if len(w.s.dead.list) != 0 {
		t.Error("the dead letter is still listed")
	}
	w.result(d, OutcomeDelivered, nil)
	w.alert("a1", slo.AlertResolved)
	w.result(w.one(slo.AlertResolved, 1), OutcomeRejected, nil)
	if len(w.s.alerts) != 0 {
		t.Error("kept")
	}
	resend()
	w.result(w.one(slo.AlertResolved, 2), OutcomeDelivered, nil)
	if len(w.s.alerts) != 0 || len(w.s.dead.list) != 0 {
		t.Error("kept")
	}
	w.alert("a2", slo.AlertFiring)
	w.result(w.one(slo.AlertFiring, 1), OutcomeRejected, nil)
	w.alert("a2", slo.AlertResolved)
	resend() // it is over: no stale page, not even by hand
	w.none()
	if w.lates() != 1 || len(w.s.dead.list) != 0 {
		t.Errorf("%d late, %d dead", w.lates(), len(w.s.dead.list))
	}
	w.alert("a3", slo.AlertFiring, "new")
	w.target("shop", "new", TypeSlack, nil)
	resend()
	if d := w.one(slo.AlertFiring, 1); d.Target.Name != "new" {
		t.Error(d.Target.Name)
	}
}

func TestJunkDoesNotStopTheStage(t *testing.T) {
	// One bad record would stop all notifications.
	w := newWorld(t, Config{})
	for _, subject := range []string{bus.SubjectTick, SubjectResult, SubjectResend, SubjectSilenceRequest, SubjectTrialRequest, slo.SubjectAlert + "a.b.c", "log.draft.mesh.change", "log.other"} {
		for _, data := range []string{"", "{", "null", "[]", "{}", `{"id":5}`, `{"accepted":true,"set":[{"kind":"AlertNotificationTarget","compiled":5}]}`, `{"state":"firing"}`, `{"id":"x","state":"firing"}`, `{"id":"x","state":"firing","window":{"duration":"1d"},"pair":{}}`} {
			w.step(subject, nil, data)
		}
	}
	w.s.Step(&bus.Record{Seq: 1, Time: w.now, Subject: bus.SubjectGap, Missing: 3})
	state, err := w.s.Snapshot()
	if err == nil {
		err = New(Config{}).Restore(state)
	}
	if err != nil {
		t.Errorf("what was taken cannot be restored: %v", err)
	}
	if st := w.s.Stats(); st.Missing != 3 || st.Undecodable == 0 {
		t.Errorf("%+v", st)
	}
}

func TestValidate(t *testing.T) {
	// A mistake in a target would show itself only at the first page; a secret in it would be readable for all.
	good := Target{Name: "a", Type: TypeSlack, URLFrom: "env:SLACK"}
	tests := map[string]func(*Target){
		"":                      func(*Target) {},
		"type:":                 func(t *Target) { t.Type = "Slack" },
		"name:":                 func(t *Target) { t.Name = "" },
		"url: is miss":          func(t *Target) { t.URLFrom = "" },
		"url: stands":           func(t *Target) { t.URL = "https://a.example.com" },
		"url: is not":           func(t *Target) { t.URLFrom, t.URL = "", "ftp://secret/x" },
		"url: holds":            func(t *Target) { t.URLFrom, t.URL = "", "https://u:p@a.example.com" },
		"url: a Slack":          func(t *Target) { t.URLFrom, t.URL = "", "https://hooks.slack.com/services/T/B/x" },
		"urlFrom: is":           func(t *Target) { t.URLFrom = "https://hooks.slack.com/services/T/B/x" },
		"secretFrom: is":        func(t *Target) { t.SecretFrom = "whsec_abc" },
		"secretFrom: is needed": func(t *Target) { t.Type = TypePagerDuty },
		"watchdogEvery:":        func(t *Target) { t.WatchdogEvery = slo.Duration(bus.Second) },
	}
	for want, change := range tests {
		target := good
		change(&target)
		err := target.Validate()
		got := ""
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || (err == nil) != (want == "") || strings.Contains(got, "services/T") || strings.Contains(got, "u:p") || strings.Contains(got, "whsec_abc") {
			t.Errorf("%q: %q", want, got)
		}
	}
}
