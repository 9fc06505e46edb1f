package stories

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// play runs a script and returns what was told. files are definitions that the script may apply.
func play(script string, files map[string]string) (string, error) {
	w, err := newWorld()
	if err != nil {
		return "", err
	}
	w.files = files
	lines := strings.Split(script, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var block []string
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "\t") {
			i++
			block = append(block, strings.TrimSpace(lines[i]))
		}
		if err := w.command(strings.Fields(line), block); err != nil {
			return "", fmt.Errorf("line %d %q: %w", i+1, line, err)
		}
	}
	return w.log.String(), nil
}

func (w *world) command(f, block []string) error {
	switch f[0] {
	case "begin":
		return w.commandBegin(f[1])
	case "apply":
		return w.commandApply(f[1])
	case "slo":
		return w.commandSLO(f[1:], block)
	case "journey":
		return w.commandJourney(f[1:])
	case "delete":
		return w.define(refOf(f[1]))
	case "exclude":
		return w.commandExclude(f[1], block)
	case "include":
		return w.change(mesh.Change{Accepted: true, Deleted: []mesh.Ref{exclusionOf(f[1])}})
	case "load":
		return w.commandLoad(f[1:], block)
	case "run":
		d, err := slo.ParseDuration(f[1])
		if err != nil {
			return err
		}
		return w.run(d.Time())
	case "gap":
		return w.step(bus.Record{Subject: bus.SubjectGap, Missing: 1})
	case "lose":
		w.frame++
		return nil
	case "restore":
		return w.restore()
	case "hush":
		w.hushed = true
		return nil
	case "status":
		return w.commandStatus()
	}
	return fmt.Errorf("unknown command")
}

func refOf(name string) mesh.Ref {
	return mesh.Ref{APIVersion: "openslo/v1", Kind: "SLO", Namespace: "default", Name: name}
}

// commandSLO defines an SLO: name, target, window, then lines "good SELECTOR", "bad SELECTOR", "total SELECTOR", "definition NAME",
// "tier NAME LONG/SHORT FACTOR", "percentiles", "interpolate", "unread WHY", "group-by LABEL,LABEL [max=N] [alerts=WHO]".
func (w *world) commandSLO(f, block []string) error {
	window, err := slo.ParseDuration(f[2])
	if err != nil {
		return err
	}
	o := slo.Objective{
		GlobalNamespace: "shop", Service: "checkout", Name: f[0], Target: slo.MustDecimal(f[1]),
		Window: slo.Window{Type: slo.WindowRolling, Duration: window}, Method: slo.MethodOccurrences,
	}
	ref := refOf(f[0])
	for _, line := range block {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "definition":
			ref = refOf(rest)
			continue
		case "percentiles":
			o.Percentiles = true
			continue
		case "unread":
			o.Unread = &slo.Unread{Reason: slo.ReasonSourceUnsupported, Message: rest}
			continue
		case "interpolate":
			o.SLI.Interpolate = true
			continue
		case "tier":
			if err := addTier(&o, strings.Fields(rest)); err != nil {
				return err
			}
			continue
		case "group-by":
			if err := groupBy(&o, strings.Fields(rest)); err != nil {
				return err
			}
			continue
		}
		ms, err := parseSelector(rest)
		if err != nil {
			return err
		}
		sel, err := bus.NewSelector(ms)
		if err != nil {
			return err
		}
		e := slo.Expr{Terms: []slo.Term{{Factor: slo.MustDecimal("1"), Selector: sel}}}
		switch word {
		case "good":
			o.SLI.Good = &e
		case "bad":
			o.SLI.Bad = &e
		default:
			o.SLI.Total = e
		}
	}
	return w.define(ref, o)
}

// commandJourney defines a composite: name, target, window, how it is joined, then members "NAME/TARGET/WEIGHT".
func (w *world) commandJourney(f []string) error {
	window, err := slo.ParseDuration(f[2])
	if err != nil {
		return err
	}
	if err := w.joins(); err != nil {
		return err
	}
	c := slo.Composite{Join: f[3]}
	for _, text := range f[4:] {
		m := strings.Split(text, "/")
		c.Members = append(c.Members, slo.Member{Service: "checkout", Name: m[0], Target: slo.MustDecimal(m[1]), Weight: slo.MustDecimal(m[2])})
	}
	return w.define(refOf(f[0]), slo.NewComposite(slo.Objective{
		GlobalNamespace: "shop", Service: "checkout", Name: f[0], Target: slo.MustDecimal(f[1]), Window: slo.Window{Type: slo.WindowRolling, Duration: window},
	}, c))
}

// groupBy reads "LABEL,LABEL [max=N] [alerts=WHO]".
func groupBy(o *slo.Objective, f []string) error {
	o.GroupBy = strings.Split(f[0], ",")
	for _, opt := range f[1:] {
		name, v, _ := strings.Cut(opt, "=")
		switch name {
		case "max":
			n, err := strconv.Atoi(v)
			if err != nil {
				return err
			}
			o.MaxGroups = n
		case "alerts":
			o.GroupAlerts = v
		default:
			return fmt.Errorf("group-by has no option %q", name)
		}
	}
	return nil
}

func addTier(o *slo.Objective, f []string) error {
	long, short, _ := strings.Cut(f[1], "/")
	l, err := slo.ParseDuration(long)
	if err != nil {
		return err
	}
	s, err := slo.ParseDuration(short)
	if err != nil {
		return err
	}
	o.Alerting.Tiers = append(o.Alerting.Tiers, slo.Tier{Name: f[0], Severity: f[0], Pairs: []slo.BurnPair{{Long: l, Short: s, Factor: slo.MustDecimal(f[2])}}})
	return nil
}

// restore goes on with a stage made from the snapshot.
func (w *world) restore() error {
	state, err := w.stage.Snapshot()
	if err != nil {
		return err
	}
	if w.stage, err = slo.NewStage(slo.Config{Partitions: 1}); err != nil {
		return err
	}
	return w.stage.Restore(state)
}

// commandStatus writes what the newest status frames say.
func (w *world) commandStatus() error {
	v := slo.NewView(0)
	for range 10 { // a full frame comes within ten seconds
		w.now += bus.Second
		w.seq++
		r := bus.Record{Seq: w.seq, Time: w.now, Subject: bus.SubjectTick}
		drafts, err := w.stage.Step(&r)
		if err != nil {
			return err
		}
		if drafts, err = w.joined(&r, drafts); err != nil {
			return err
		}
		for _, d := range drafts {
			if err := w.tell(d); err != nil {
				return err
			}
			if err := v.Apply(&bus.Record{Time: w.now, Subject: d.Subject, Data: d.Data}); err != nil {
				return err
			}
		}
	}
	for _, it := range v.List() {
		excluded := ""
		if x := it.Excluded; x != nil {
			excluded = fmt.Sprintf(", excluded %s", slo.Duration(x.Seconds*1000))
			if x.Now {
				excluded += fmt.Sprintf(" and now until %s by %s: %s", w.clock(x.Until.Time()), x.Name, x.Reason)
			}
		}
		sli := "none"
		if it.SLI != nil {
			sli = it.SLI.String()
		}
		w.say("status %s %s %s: %.10g of %.10g good, sli %s, budget %.3f of %.3f left, coverage %.3f%s, as of %s", it.Name, it.State, it.Reason,
			it.Events.Good, it.Events.Total, sli, it.Budget.Remaining, it.Budget.Total, it.Coverage, excluded, w.clock(it.AsOf.Time()))
		if p := it.Period; p != nil {
			w.say("period of %s: %s to %s", it.Name, p.From, p.Until)
		}
		if it.Message != "" {
			w.say("message of %s: %s", it.Name, it.Message)
		}
		for _, p := range it.Percentiles {
			w.say("%s of %g requests in %s from %s: p50 %s, p90 %s, p99 %s", it.Name, p.Count, p.Window, w.clock(p.From.Time()), quantile(p.P50), quantile(p.P90), quantile(p.P99))
		}
		if n := it.Interpolation; n != nil {
			w.say("%s is interpolated at %g between %g and %g: sli from %.4f to %.4f", it.Name, n.Threshold, n.Lower, n.Upper, *n.SLIMin, *n.SLIMax)
		}
		if g := it.Groups; g != nil {
			w.say("groups of %s by %s: %d of at most %d, %d series in none %s", it.Name, strings.Join(g.By, ","), g.Count, g.Max, g.Ungrouped, g.Reason)
		}
	}
	return nil
}

func quantile(q *slo.Quantile) string {
	switch {
	case q == nil:
		return "none"
	case q.Upper == nil:
		return fmt.Sprintf("over %g", q.Lower)
	}
	return fmt.Sprintf("%.3g in %g..%g", *q.Value, q.Lower, *q.Upper)
}

// A spell is a part of a load, from its begin.
type spell struct{ from, to bus.Time }

func (s spell) holds(t bus.Time) bool { return t >= s.from && t < s.to }

func parseSpell(text string) (spell, error) {
	from, to, ok := strings.Cut(text, "..")
	if !ok {
		return spell{}, fmt.Errorf("%q is no FROM..TO", text)
	}
	a, err := slo.ParseDuration(from)
	if err != nil {
		return spell{}, err
	}
	b, err := slo.ParseDuration(to)
	return spell{a.Time(), b.Time()}, err
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
