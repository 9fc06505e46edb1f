package stories

import (
	"fmt"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A sender sends its lines.
type sender struct {
	source bus.Source
	skew   bus.Time // its samples' times are this much ahead
	down   spell    // it does not look, and never will
	cut    spell    // it looks and cannot send; it sends all of that afterwards
	lines  []line
}

type line struct {
	series string
	start  bus.Time // start timestamp, 0 for none
	late   spell    // samples of this time come 30 s late
	native string   // the histogram that the values are multiples of, "THRESHOLD/SCHEMA/INDEX:COUNT,INDEX:COUNT"; "": they are numbers
	values []value
}

// A load is what senders send, one sample of each line every interval.
type load struct {
	interval bus.Time
	tick     bus.Time // time between ticks
	away     spell    // nothing of the engine runs; senders keep what they could not send
	damage   spell    // frames are damaged
	senders  []*sender
	length   int
}

// commandLoad feeds series: "load INTERVAL [away=FROM..TO] [damage=FROM..TO] [tick=D]", then lines "sender NAME [cluster=C] [replica=R]
// [skew=D] [down=FROM..TO] [cut=FROM..TO] [like=NAME]" and lines "SERIES VALUES"; "@late=FROM..TO", "@start" or
// "@native=HISTOGRAM" may stand before the values.
func (w *world) commandLoad(f, block []string) error {
	l, err := parseLoad(f, block, w.now)
	if err != nil {
		return err
	}
	from := w.now
	var kept []func() error // what could not be sent
	for n := range l.length {
		at := bus.Time(n) * l.interval
		w.now = from + at
		var send, late []func() error
		for _, s := range l.senders {
			if s.down.holds(at) {
				continue
			}
			for i := range s.lines {
				ln := &s.lines[i]
				if n >= len(ln.values) || ln.values[n].missing {
					continue
				}
				t, v := w.now+s.skew, ln.values[n].v
				one := func() error { return w.add(s.source, ln.series, t, ln.start, v) }
				switch {
				case s.cut.holds(at) || l.away.holds(at):
					kept = append(kept, one)
				case ln.late.holds(at):
					late = append(late, one)
				default:
					send = append(send, one)
				}
			}
		}
		if l.away.holds(at) {
			continue
		}
		if err := w.interval(l, at, &kept, send, late); err != nil {
			return err
		}
	}
	return nil
}

// interval sends what is due, then lets the interval pass; a backlog goes first, a tenth of it with each second.
func (w *world) interval(l *load, at bus.Time, kept *[]func() error, send, late []func() error) error {
	cut := false
	for _, s := range l.senders {
		cut = cut || s.cut.holds(at)
	}
	if len(*kept) > 0 && !cut {
		*kept = append(*kept, send...)
		if err := w.backlog(*kept); err != nil {
			return err
		}
		*kept, send = nil, nil
	}
	for _, one := range send {
		if err := one(); err != nil {
			return err
		}
	}
	if err := w.flush(l.damage.holds(at)); err != nil {
		return err
	}
	end, due := w.now+l.interval, w.now+12*bus.Second
	for w.now < end {
		w.now += min(l.tick, end-w.now)
		if err := w.tick(); err != nil {
			return err
		}
		if w.now == due {
			for _, one := range late {
				if err := one(); err != nil {
					return err
				}
			}
			if err := w.flush(false); err != nil {
				return err
			}
		}
	}
	return nil
}

// backlog sends what was kept in frames of two hundred samples, ten frames a second, and time passes.
func (w *world) backlog(kept []func() error) error {
	w.say("backlog of %d samples", len(kept))
	for i, one := range kept {
		if err := one(); err != nil {
			return err
		}
		if i%200 == 199 {
			if err := w.flush(false); err != nil {
				return err
			}
			if i%1000 == 999 {
				if err := w.run(bus.Second); err != nil {
					return err
				}
			}
		}
	}
	return w.flush(false)
}

func parseLoad(f, block []string, now bus.Time) (*load, error) {
	interval, err := slo.ParseDuration(f[0])
	if err != nil {
		return nil, err
	}
	l := &load{interval: interval.Time(), tick: bus.Second}
	for _, opt := range f[1:] {
		name, v, _ := strings.Cut(opt, "=")
		if name == "tick" {
			d, err := slo.ParseDuration(v)
			if err != nil {
				return nil, err
			}
			l.tick = d.Time()
			continue
		}
		s, err := parseSpell(v)
		if err != nil {
			return nil, err
		}
		switch name {
		case "away":
			l.away = s
		case "damage":
			l.damage = s
		default:
			return nil, fmt.Errorf("load has no option %q", name)
		}
	}
	byName := map[string]*sender{}
	for _, text := range block {
		if rest, ok := strings.CutPrefix(text, "sender "); ok {
			s, err := parseSender(strings.Fields(rest), byName)
			if err != nil {
				return nil, err
			}
			l.senders = append(l.senders, s)
			continue
		}
		if len(l.senders) == 0 {
			l.senders = append(l.senders, &sender{source: bus.Source{Sender: "prometheus"}})
		}
		ln, err := parseLine(text, now)
		if err != nil {
			return nil, err
		}
		s := l.senders[len(l.senders)-1]
		lines, err := ln.parts()
		if err != nil {
			return nil, err
		}
		s.lines = append(s.lines, lines...)
		l.length = max(l.length, len(ln.values))
	}
	return l, nil
}

func parseLine(text string, now bus.Time) (line, error) {
	head, rest, _ := strings.Cut(text, "} ")
	if !strings.Contains(head, "{") {
		head, rest, _ = strings.Cut(text, " ")
	} else {
		head += "}"
	}
	ln := line{series: head}
	for strings.HasPrefix(rest, "@") {
		opt, more, _ := strings.Cut(rest, " ")
		rest = more
		if opt == "@start" {
			ln.start = now
			continue
		}
		if h, ok := strings.CutPrefix(opt, "@native="); ok {
			ln.native = h
			continue
		}
		s, err := parseSpell(strings.TrimPrefix(opt, "@late="))
		if err != nil {
			return line{}, err
		}
		ln.late = s
	}
	var err error
	ln.values, err = parseValues(rest)
	return ln, err
}

func parseSender(f []string, byName map[string]*sender) (*sender, error) {
	s := &sender{source: bus.Source{Sender: f[0]}}
	byName[f[0]] = s
	for _, opt := range f[1:] {
		name, v, _ := strings.Cut(opt, "=")
		var err error
		switch name {
		case "cluster":
			s.source.Cluster, s.source.Sender = v, "pair"
		case "replica":
			s.source.Replica = v
		case "skew":
			var d slo.Duration
			d, err = slo.ParseDuration(strings.TrimPrefix(v, "-"))
			if s.skew = d.Time(); strings.HasPrefix(v, "-") {
				s.skew = -s.skew
			}
		case "down":
			s.down, err = parseSpell(v)
		case "cut":
			s.cut, err = parseSpell(v)
		case "like":
			s.lines = byName[v].lines
		default:
			err = fmt.Errorf("a sender has no option %q", name)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}
