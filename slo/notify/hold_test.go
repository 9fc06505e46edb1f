package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
	"github.com/google/go-cmp/cmp"
)

func (w *world) wantHolds(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.holds()); diff != "" {
		w.t.Errorf("held (-want +got): %s", diff)
	}
}

func TestTicketIsHeldWhileThePageFires(t *testing.T) {
	// One trouble would be told twice, or its ticket would be lost when the page is over.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypePagerDuty, nil)
	w.tier("p1", slo.AlertFiring, "page")
	w.result(w.one(slo.AlertFiring, 1), OutcomeDelivered, nil)
	w.tier("t1", slo.AlertFiring, "ticket")
	w.none()
	w.wantHolds("t1 Inhibited")
	if v := w.s.View(0); len(v.Held) != 1 || v.Held[0].Held != HeldInhibited || len(v.Pending) != 0 || w.s.Stats().Inhibited != 1 {
		t.Errorf("%+v", v)
	}
	other := testAlert("t2", slo.AlertFiring, w.now)
	other.SLO, other.Tier, other.Severity = "latency", "ticket", "ticket"
	w.event(other) // another SLO's page is none of its
	w.result(w.one(slo.AlertFiring, 1), OutcomeDelivered, nil)
	w.seconds(3600)
	w.none()
	w.wantHolds()
	w.tier("p1", slo.AlertResolved, "page")
	w.result(w.one(slo.AlertResolved, 1), OutcomeDelivered, nil)
	w.seconds(1)
	if d := w.one(slo.AlertFiring, 1); d.Alert.ID != "t1" {
		t.Error(d.Alert.ID)
	}
}

func TestHeldTicketThatEnds(t *testing.T) {
	// A ticket that nobody heard of would be told when it is over.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	w.tier("p1", slo.AlertFiring, "page")
	w.result(w.one(slo.AlertFiring, 1), OutcomeDelivered, nil)
	w.tier("t1", slo.AlertFiring, "ticket")
	w.tier("t1", slo.AlertResolved, "ticket")
	w.tier("p1", slo.AlertResolved, "page")
	w.result(w.one(slo.AlertResolved, 1), OutcomeDelivered, nil)
	w.seconds(60)
	w.none()
	if w.lates() != 1 || len(w.s.alerts)+len(w.s.bySLO) != 0 {
		t.Errorf("%d late, %d alerts kept", w.lates(), len(w.s.alerts))
	}
}

func TestOnlyAPageThatIsToldInhibits(t *testing.T) {
	// A page that reaches nobody would keep back the one message that could.
	for name, c := range map[string]struct {
		noInhibit bool
		page      func(*world)
		tickets   int
	}{
		"told":       {false, func(w *world) { w.result(w.one(slo.AlertFiring, 1), OutcomeDelivered, nil) }, 0},
		"on its way": {false, func(w *world) { w.result(w.one(slo.AlertFiring, 1), OutcomeRetry, nil) }, 0},
		"refused":    {false, func(w *world) { w.result(w.one(slo.AlertFiring, 1), OutcomeRejected, nil) }, 1},
		"turned off": {true, func(w *world) { w.result(w.one(slo.AlertFiring, 1), OutcomeDelivered, nil) }, 1},
	} {
		w := newWorld(t, Config{})
		w.target("shop", "oncall", TypeSlack, nil)
		w.target("shop", "tickets", TypeSlack, func(t *Target) { t.NoInhibit = c.noInhibit })
		w.tier("p1", slo.AlertFiring, "page", "oncall")
		c.page(w)
		w.take()
		w.tier("t1", slo.AlertFiring, "ticket", "tickets")
		if ds := w.take(); len(ds) != c.tickets {
			t.Errorf("%s: %s", name, brief(ds))
		}
	}
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	w.silence("s1", bus.Hour, func(r *SilenceRequest) { r.Tier = "page" })
	w.tier("p1", slo.AlertFiring, "page")
	w.tier("t1", slo.AlertFiring, "ticket")
	if d := w.one(slo.AlertFiring, 1); d.Alert.ID != "t1" {
		t.Errorf("a silenced page: %s", d.Alert.ID)
	}
	w.wantHolds("p1 Silenced s1")
	w.tier("p2", slo.AlertFiring, "page") // nothing is told of it
	w.removeTarget("shop", "oncall")
	w.seconds(1)
	w.none()
}

func TestPageThatDiesWakesTheTicket(t *testing.T) {
	// The pager's refusal comes after the ticket was held: the ticket would wait for a page that nobody sees.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	w.tier("p1", slo.AlertFiring, "page")
	d := w.one(slo.AlertFiring, 1)
	w.tier("t1", slo.AlertFiring, "ticket")
	w.none()
	w.result(d, OutcomeRejected, nil)
	w.seconds(1)
	w.result(w.one(slo.AlertFiring, 1), OutcomeDelivered, nil)
	w.tier("t2", slo.AlertFiring, "ticket") // the ticket before is superseded
	w.take()
}

func TestCoolDown(t *testing.T) {
	// An alert that flaps would page each time; or one that comes back for good would not page at all.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, func(t *Target) { t.CoolDown = slo.Duration(10 * bus.Minute) })
	w.target("shop", "eager", TypeSlack, nil)
	tell := func(id, state string, targets ...string) {
		t.Helper()
		w.alert(id, state, "oncall", "eager")
		var got []string
		for _, d := range w.take() {
			got = append(got, d.Target.Name)
			w.result(d, OutcomeDelivered, nil)
		}
		if diff := cmp.Diff(targets, got); diff != "" {
			t.Errorf("%s %s: told (-want +got): %s", id, state, diff)
		}
	}
	tell("a1", slo.AlertFiring, "eager", "oncall")
	tell("a1", slo.AlertResolved, "eager", "oncall")
	w.seconds(60)
	tell("a2", slo.AlertFiring, "eager")
	w.wantHolds("a2 CoolDown")
	w.seconds(60)
	tell("a2", slo.AlertResolved, "eager") // it was never told to the other
	w.seconds(60)
	tell("a3", slo.AlertFiring, "eager")
	w.seconds(6*60 + 59) // ten minutes after the end of a1, not of a2
	w.none()
	w.seconds(1)
	if d := w.one(slo.AlertFiring, 1); d.Target.Name != "oncall" || d.Alert.ID != "a3" {
		t.Errorf("%+v", d)
	}
	if len(w.s.cool) != 0 || w.s.Stats().CoolDown != 2 {
		t.Errorf("%d cool-downs kept, %d counted", len(w.s.cool), w.s.Stats().CoolDown)
	}
}

func TestCoolDownsAreBounded(t *testing.T) {
	// Many flapping alerts would eat memory.
	w := newWorld(t, Config{CoolMax: 2})
	w.target("shop", "oncall", TypeSlack, func(t *Target) { t.CoolDown = slo.Duration(bus.Minute) })
	for i := range 3 {
		for _, state := range []string{slo.AlertFiring, slo.AlertResolved} {
			e := testAlert(fmt.Sprint("a", i), state, w.now)
			e.SLO = fmt.Sprint("slo", i)
			w.event(e)
			w.result(w.one(state, 1), OutcomeDelivered, nil)
		}
	}
	if len(w.s.cool) != 2 || w.s.Stats().CoolOver != 1 {
		t.Errorf("%d kept, %d over", len(w.s.cool), w.s.Stats().CoolOver)
	}
	w.removeTarget("shop", "oncall")
	if len(w.s.cool) != 0 {
		t.Error("cool-downs of a target that is gone are kept")
	}
}

func TestSilence(t *testing.T) {
	// Planned work would page people, or what is still wrong after it would never be told.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypePagerDuty, nil)
	w.silence("s1", 10*bus.Minute, nil)
	w.alert("a1", slo.AlertFiring)
	w.none()
	w.wantHolds("a1 Silenced s1")
	w.seconds(599)
	w.none()
	w.seconds(1)
	w.result(w.one(slo.AlertFiring, 1), OutcomeDelivered, nil)
	w.silence("s2", bus.Hour, nil)
	w.alert("a1", slo.AlertResolved) // what was told before is closed
	w.result(w.one(slo.AlertResolved, 1), OutcomeDelivered, nil)
	w.alert("a2", slo.AlertFiring)
	w.none()
	w.expire("s2")
	w.seconds(1)
	w.result(w.one(slo.AlertFiring, 1), OutcomeDelivered, nil)
	want := []string{"s1 created alice ", "s1 expired alice ", "s2 created alice ", "s2 expired alice bob"}
	var got []string
	for _, e := range events[SilenceEvent](w, SilenceEventType) {
		got = append(got, e.ID+" "+e.Action+" "+e.Author+" "+e.ExpiredBy)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(w.s.silences) != 0 {
		t.Error(diff)
	}
}

func TestSilencesOverlap(t *testing.T) {
	// The end of one silence would page although another still holds.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	w.silence("long", bus.Hour, func(r *SilenceRequest) { r.SLO = "availability" })
	w.silence("short", bus.Minute, nil)
	w.alert("a1", slo.AlertFiring)
	w.expire("long")
	w.seconds(1)
	w.none()
	w.wantHolds("a1 Silenced long", "a1 Silenced short")
	w.seconds(60)
	w.one(slo.AlertFiring, 1)
}

func TestSilenceMatches(t *testing.T) {
	// A silence would hold what it was not meant for.
	for _, c := range []struct {
		change func(*SilenceRequest)
		held   bool
	}{
		{nil, true},
		{func(r *SilenceRequest) { r.SLO, r.Tier = "availability", "page" }, true},
		{func(r *SilenceRequest) { r.GlobalNamespace = "" }, false},
		{func(r *SilenceRequest) { r.Service = "check" }, false},
		{func(r *SilenceRequest) { r.SLO = "latency" }, false},
		{func(r *SilenceRequest) { r.Tier = "ticket" }, false},
	} {
		w := newWorld(t, Config{})
		w.target("shop", "oncall", TypeSlack, nil)
		w.silence("s", bus.Hour, c.change)
		w.alert("a1", slo.AlertFiring)
		if held := len(w.take()) == 0; held != c.held {
			t.Errorf("%+v: held %t", w.s.silenceList(), held)
		}
	}
}

func TestWhatASilenceDoesNotHold(t *testing.T) {
	// The Watchdog would fall silent with a service of its name; or Alertmanager would take a silence for an end.
	w := newWorld(t, Config{})
	w.target("shop", "am", TypeAlertmanager, func(t *Target) { t.WatchdogEvery = slo.Duration(10 * bus.Second) })
	w.alert("a1", slo.AlertFiring)
	w.result(w.one(slo.AlertFiring, 1), OutcomeDelivered, nil)
	w.silence("s1", bus.Hour, nil)
	w.silence("s2", bus.Hour, func(r *SilenceRequest) { r.Service = watchdogAlert })
	w.silence("s3", bus.Hour, func(r *SilenceRequest) { r.Service = "evenkeel" })
	w.seconds(60)
	w.one(slo.AlertFiring, 2)
	if len(w.dogs) != 6 && len(w.dogs) != 7 {
		t.Errorf("%d Watchdogs in a minute", len(w.dogs))
	}
	w.step(SubjectTrialRequest, nil, TrialRequest{ID: "test-1", Target: w.s.order[0], Author: "alice"})
	w.one(slo.AlertFiring, 1)
}

func TestSilencesAreBounded(t *testing.T) {
	// A script that runs wild, or one team, would use up all silences, or silence for ever.
	w := newWorld(t, Config{SilencesMax: 3, SilencesNamespaceMax: 2})
	for i, gns := range []string{"shop", "shop", "shop", "bank", "lab"} {
		w.silence(fmt.Sprint("s", i), bus.Hour, func(r *SilenceRequest) { r.GlobalNamespace = gns })
	}
	w.silence("s0", bus.Hour, nil)
	w.expire("unknown")
	w.step(SubjectSilenceRequest, nil, "{")
	if len(w.s.silences) != 3 || w.s.Stats().SilencesRefused != 4 || w.s.Stats().Undecodable != 1 {
		t.Errorf("%d silences, %+v", len(w.s.silences), w.s.Stats())
	}
	good := SilenceRequest{Action: SilenceAdd, ID: "s", Service: "checkout", For: bus.Hour, Reason: "work", Author: "alice"}
	for want, change := range map[string]func(*SilenceRequest){
		"":                     func(*SilenceRequest) {},
		"action:":              func(r *SilenceRequest) { r.Action = "extend" },
		"id:":                  func(r *SilenceRequest) { r.ID = strings.Repeat("x", 65) },
		"author:":              func(r *SilenceRequest) { r.Author = "" },
		"service: is missing":  func(r *SilenceRequest) { r.Service = "" },
		"service: is longer":   func(r *SilenceRequest) { r.Service = "a\nb" },
		"slo:":                 func(r *SilenceRequest) { r.SLO = strings.Repeat("x", 300) },
		"reason: is missing":   func(r *SilenceRequest) { r.Reason = " " },
		"reason: is longer":    func(r *SilenceRequest) { r.Reason = "a\x1b[2J" },
		"for: is missing":      func(r *SilenceRequest) { r.For = 0 },
		"for: 31d is not from": func(r *SilenceRequest) { r.For = 31 * bus.Day },
		"for: 0s is not from":  func(r *SilenceRequest) { r.For = -5 },
	} {
		r := good
		change(&r)
		got := ""
		if err := r.Validate(); err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: %q", want, got)
		}
	}
}

func TestTargetThatNoLongerInhibits(t *testing.T) {
	// A change of the target's mind would reach only the next alert.
	w := newWorld(t, Config{})
	w.target("shop", "oncall", TypeSlack, nil)
	w.tier("p1", slo.AlertFiring, "page")
	w.result(w.one(slo.AlertFiring, 1), OutcomeDelivered, nil)
	w.tier("t1", slo.AlertFiring, "ticket")
	w.target("shop", "oncall", TypeSlack, func(t *Target) { t.NoInhibit = true })
	w.seconds(1)
	w.one(slo.AlertFiring, 1)
}

func TestTrial(t *testing.T) {
	// The test button would say that all is well, leave an incident open, or flood a target.
	w := newWorld(t, Config{TrialsMax: 3})
	w.target("shop", "pager", TypePagerDuty, nil)
	ask := func(id, target string) {
		w.step(SubjectTrialRequest, nil, TrialRequest{ID: id, Target: target, Author: "alice"})
	}
	key := w.s.order[0]
	ask("test-1", key)
	ask("test-2", key)
	ask("test-1", key)
	ask("nonsense", key)
	ask("test-3", "unknown")
	d := w.one(slo.AlertFiring, 1)
	if d.Kind != KindTest || d.Author != "alice" || d.ID != "test-1" {
		t.Errorf("%+v", d)
	}
	w.result(d, OutcomeDelivered, func(r *Result) { r.Status = 202 })
	end := w.one(slo.AlertResolved, 1)
	w.result(end, OutcomeDelivered, nil)
	w.result(d, OutcomeRejected, nil)
	w.none()
	var got []string
	for _, x := range w.s.View(0).Trials {
		got = append(got, fmt.Sprintf("%s %s %d %s", x.ID, x.Outcome, x.Status, x.Message))
	}
	want := []string{"test-1 delivered 202 ", "test-2 refused 0 a test of this target is under way", "test-3 refused 0 there is no such target"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	ask("test-4", key)
	w.seconds(60) // nobody sends: the next may be tried
	ask("test-5", key)
	if ds := w.take(); len(ds) != 2 || len(w.s.trials) != 3 || len(w.s.alerts) != 0 {
		t.Errorf("ordered %s, %d kept", brief(ds), len(w.s.trials))
	}
	if first, second := pagerDutyKey(t, d), pagerDutyKey(t, end); first != second {
		t.Errorf("the end closes %s and not %s", second, first)
	}
}

func pagerDutyKey(t *testing.T, d Delivery) string {
	t.Helper()
	c, err := Renderer{}.Render(d, "k")
	var e pagerDutyEvent
	if err == nil {
		err = json.Unmarshal(c.Body, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e.DedupKey
}

func TestMailTargets(t *testing.T) {
	// A mail could be made to say more headers than ours, or a mistake show itself only at the first page.
	good := MailTarget{To: []string{"a@example.com"}, From: "b@example.com", SMTP: "mail.example.com:587"}
	for want, change := range map[string]func(*Target){
		"":                        func(*Target) {},
		"mail: is for":            func(t *Target) { t.Mail = nil },
		"url: is not":             func(t *Target) { t.URL = "https://a.example.com" },
		"mail.to: has 0":          func(t *Target) { t.Mail.To = nil },
		`mail.to: "a@example.com`: func(t *Target) { t.Mail.To = []string{"a@example.com\r\nBcc: x@example.com"} },
		`mail.to: "ü@`:            func(t *Target) { t.Mail.To = []string{"ü@example.com"} },
		`mail.from: "nobody"`:     func(t *Target) { t.Mail.From = "nobody" },
		`mail.from: "\"a b\"`:     func(t *Target) { t.Mail.From = "\"a b\"@example.com" },
		`mail.smtp: "mail"`:       func(t *Target) { t.Mail.SMTP = "mail" },
		`mail.smtp: "m:0"`:        func(t *Target) { t.Mail.SMTP = "m:0" },
		`mail.smtp: "::1:25"`:     func(t *Target) { t.Mail.SMTP = "::1:25" },
		"mail.user:":              func(t *Target) { t.Mail.User = "u" },
		"coolDown:":               func(t *Target) { t.CoolDown = slo.Duration(2 * bus.Day) },
		"groupWait: stands":       func(t *Target) { t.GroupWait = slo.Duration(bus.Minute) },
		"groupWait: 1h":           func(t *Target) { t.GroupBy, t.GroupWait = []string{"service"}, slo.Duration(bus.Hour) },
		`groupBy: "slo"`:          func(t *Target) { t.GroupBy = []string{"slo"} },
		"groupBy: service":        func(t *Target) { t.GroupBy = []string{"service", "service"} },
	} {
		m := good
		target := Target{Name: "a", Type: TypeEmail, Mail: &m}
		change(&target)
		got := ""
		if err := target.Validate(); err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: %q", want, got)
		}
	}
	pager := Target{Name: "p", Type: TypePagerDuty, SecretFrom: "env:K", GroupBy: []string{GroupByService}}
	if err := pager.Validate(); err == nil || !strings.Contains(err.Error(), "one alert a message") {
		t.Errorf("a grouped pager: %v", err)
	}
	for address, insecure := range map[string]bool{"localhost:25": true, "127.0.0.1:25": true, "[::1]:25": true, "10.0.0.1:25": false, "localhost.example.com:25": false} {
		if m := (&MailTarget{SMTP: address}); m.Insecure() != insecure {
			t.Errorf("%s: insecure %t", address, m.Insecure())
		}
	}
}

func TestMailHoldsNoOtherHeader(t *testing.T) {
	// Whoever names an SLO or writes its annotations could add recipients or another body to our mails.
	w := newWorld(t, Config{})
	w.target("shop", "mail", TypeEmail, nil)
	e := testAlert("a1", slo.AlertFiring, w.now)
	e.DisplayName = "x\r\nBcc: evil@example.com\r\n\r\nhello" + strings.Repeat("ü", 300)
	e.Annotations = map[string]string{"description": "\r\n.\r\nMAIL FROM:<evil@example.com>\r\n--evenkeel-\r\n<script>"}
	e.Runbook = "javascript:alert(1)"
	w.event(e)
	m, err := Renderer{}.Mail(w.one(slo.AlertFiring, 1))
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(m.Data), "\r\n\r\n")
	_, page, _ := strings.Cut(body, "text/html")
	if strings.Contains(head, "\r\nBcc") || !strings.Contains(body, "<script>") || strings.Contains(page, "<script>") || strings.Contains(body, "href=3D\"javascript") {
		t.Errorf("%s", m.Data)
	}
	for _, l := range strings.Split(string(m.Data), "\r\n") {
		if len(l) > 998 || strings.ContainsAny(l, "\r\n") {
			t.Errorf("a line of %d bytes, or one that ends otherwise", len(l))
		}
	}
}

func TestTargetsOfBeforeAreRead(t *testing.T) {
	// Definitions that were accepted by the version before would be dropped by this one.
	w := newWorld(t, Config{})
	d := mesh.Definition{Ref: targetRef("shop", "old"), GlobalNamespace: "shop", Compiled: []byte(`{"name":"old","type":"slack","url":"https://a.example.com","watchdogEvery":"1m"}`)}
	w.step(mesh.SubjectChange, nil, mesh.Change{Accepted: true, Set: []mesh.Definition{d}})
	w.alert("a1", slo.AlertFiring)
	w.one(slo.AlertFiring, 1)
}
