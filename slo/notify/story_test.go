package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// A story is a world whose receivers answer at once, and that writes down what happens.
type story struct {
	*world
	answers map[string]string // outcome by target
	out     bytes.Buffer
}

func TestStories(t *testing.T) {
	// Who hears of an alert, when and when not would change without anybody reading it. Each file has a script and what was told; -update
	// rewrites the second.
	files, err := filepath.Glob(filepath.Join("testdata", "stories", "*.txtar"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d stories: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			a := txtar.Parse(raw)
			s := &story{world: newWorld(t, Config{GroupMax: 3}), answers: map[string]string{}}
			for _, line := range strings.Split(string(a.Files[0].Data), "\n") {
				if f := strings.Fields(line); len(f) > 0 {
					s.command(f)
				}
			}
			if *update {
				a.Files = append(a.Files[:1], txtar.File{Name: "told", Data: s.out.Bytes()})
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(a.Files[1].Data), s.out.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			checkIndexes(t, s.s)
		})
	}
}

// command runs one line: target NAME TYPE [option=value …], answer NAME OUTCOME, fire|end ID SERVICE/SLO/TIER [TARGET …], silence ID SERVICE[/SLO[/TIER]] FOR,
// expire ID, test NAME, wait DURATION.
func (s *story) command(f []string) {
	s.t.Helper()
	switch f[0] {
	case "target":
		s.target("shop", f[1], f[2], func(t *Target) { s.options(t, f[3:]) })
	case "answer":
		s.answers[f[1]] = f[2]
	case "fire", "end":
		e := testAlert(f[1], map[string]string{"fire": slo.AlertFiring, "end": slo.AlertResolved}[f[0]], s.now, f[3:]...)
		of := strings.Split(f[2], "/")
		e.Service, e.SLO, e.Tier, e.Severity = of[0], of[1], of[2], of[2]
		s.event(e)
	case "silence":
		of := append(strings.Split(f[2], "/"), "", "")
		s.silence(f[1], s.duration(f[3]).Time(), func(r *SilenceRequest) { r.Service, r.SLO, r.Tier = of[0], of[1], of[2] })
	case "expire":
		s.expire(f[1])
	case "test":
		s.step(SubjectTrialRequest, nil, TrialRequest{ID: NewTrialID(f[1]), Target: targetKey(targetRef("shop", f[1])), Author: "alice"})
	case "wait":
		for range s.duration(f[1]).Time() / bus.Second {
			s.settle()
			s.seconds(1)
		}
	default:
		s.t.Fatalf("unknown command %q", f[0])
	}
	s.settle()
}

func (s *story) duration(text string) slo.Duration {
	s.t.Helper()
	d, err := slo.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *story) options(t *Target, options []string) {
	s.t.Helper()
	t.NoWatchdog, t.Default = true, true
	for _, o := range options {
		switch name, value, _ := strings.Cut(o, "="); name {
		case "inhibit":
			t.NoInhibit = value == "false"
		case "cool-down":
			t.CoolDown = s.duration(value)
		case "group-by":
			t.GroupBy = strings.Split(value, ",")
		case "group-wait":
			t.GroupWait = s.duration(value)
		default:
			s.t.Fatalf("unknown option %q", o)
		}
	}
}

// settle writes down what was ordered, held and published, and answers the orders, until nothing more comes of it.
func (s *story) settle() {
	s.t.Helper()
	for {
		for _, d := range s.other {
			s.note(&d)
		}
		s.other = nil
		ds := s.take()
		if len(ds) == 0 {
			return
		}
		for _, d := range ds {
			outcome := s.answers[d.Target.Name]
			if outcome == "" {
				outcome = OutcomeDelivered
			}
			s.say("%s  %s: %s", d.Target.Name, outcome, told(&d))
			s.result(d, outcome, nil)
		}
	}
}

func (s *story) say(format string, args ...any) {
	fmt.Fprintf(&s.out, "%-8s %s\n", slo.Duration(s.now-start), fmt.Sprintf(format, args...))
}

// told says what a delivery says.
func told(d *Delivery) string {
	var parts []string
	for _, one := range d.each() {
		parts = append(parts, one.Alert.ID+" "+one.Alert.State)
	}
	text := strings.Join(parts, ", ")
	if n := truncated(d); n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	if d.Kind == KindTest {
		text = "[TEST] " + d.Alert.State
	}
	if d.Attempt > 1 {
		text += fmt.Sprintf(" (attempt %d)", d.Attempt)
	}
	return text
}

func (s *story) note(d *bus.Draft) {
	s.t.Helper()
	read := func(v any) {
		if err := json.Unmarshal(d.Data, v); err != nil {
			s.t.Fatal(err)
		}
	}
	switch {
	case d.Subject == SubjectHeld:
		var h Hold
		read(&h)
		s.say("%s  held: %s %s", h.Target, h.Alert, strings.TrimSpace(h.Reason+" "+h.Silence))
	case d.Subject == SubjectLate:
		s.say("nobody was told that it fired, nobody is told its end")
	case d.Event != nil && d.Event.Type == SilenceEventType:
		var e SilenceEvent
		read(&e)
		s.say("silence %s %s %s", e.ID, e.Action, e.ExpiredBy)
	case d.Event != nil && d.Event.Type == DeadEventType:
		var e DeadEvent
		read(&e)
		s.say("%s  dead letter: %s %s", e.Target, e.Alert, e.Reason)
	}
}
