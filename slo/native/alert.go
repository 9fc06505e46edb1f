package native

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// Names of tiers as they are written.
const (
	tierPage   = "Page"
	tierTicket = "Ticket"
)

// maxNotify bounds the targets of one SLO.
const maxNotify = 20

// alerting compiles spec.alerts of the objective o.
func (r *run) alerting(d *mesh.Document, s *spec, o *slo.Objective, def *mesh.Definition) slo.Alerting {
	const path = "spec.alerts"
	var a slo.Alerting
	if s.Description != "" {
		a.Annotations = map[string]string{"description": s.Description}
	}
	if s.Alerts == nil {
		return a
	}
	r.burnRate(d, s.Alerts.BurnRate, o, &a)
	a.Extra = r.extra(d, s.Alerts)
	a.Unguarded = s.Alerts.LowTraffic != nil && !*s.Alerts.LowTraffic
	a.Notify = r.notify(d, s.Alerts.NotifyRefs, def)
	a.Runbook = r.runbook(d, s.Alerts.Runbook)
	return a
}

// extra returns the alerts that are not about burn rates. They wait for the morning: severity ticket.
func (r *run) extra(d *mesh.Document, s *alerts) []slo.Tier {
	const path = "spec.alerts"
	var out []slo.Tier
	if len(s.BudgetSpent) > slo.MaxSpentTiers {
		r.add(d.Problem(path+".budgetSpent", fmt.Sprintf("%d shares of the budget are too many; at most %d", len(s.BudgetSpent), slo.MaxSpentTiers), ""))
		return nil
	}
	for i, text := range s.BudgetSpent {
		at := fmt.Sprintf("%s.budgetSpent[%d]", path, i)
		t, err := slo.SpentTier(text)
		switch {
		case !kindAt(d, at, mesh.NodeString):
		case err != nil:
			r.add(d.Problem(at, err.Error(), "write for example 50%"))
		case slices.ContainsFunc(out, func(o slo.Tier) bool { return o.Name == t.Name }):
			r.add(d.Problem(at, text+" stands twice", "leave it out"))
		default:
			out = append(out, t)
		}
	}
	if d.Node(path+".exhaustion") != nil {
		if v, ok := r.duration(d, path+".exhaustion", s.Exhaustion, "3d"); ok {
			out = append(out, slo.Tier{Name: "exhaustion", Severity: slo.SeverityTicket, Exhaustion: v})
		}
	}
	if d.Node(path+".absent") != nil {
		if v, ok := r.duration(d, path+".absent", s.Absent, "10m"); ok {
			out = append(out, slo.Tier{Name: "absent", Severity: slo.SeverityTicket, Absent: v})
		}
	}
	return out
}

// burnRate chooses among the tiers of the SRE workbook. All of them are the default of the engine and are not written out.
func (r *run) burnRate(d *mesh.Document, b *burnRate, o *slo.Objective, a *slo.Alerting) {
	const path = "spec.alerts.burnRate.tiers"
	if b == nil || !kindAt(d, path, mesh.NodeList) {
		return
	}
	severities := map[string]string{tierPage: slo.SeverityPage, tierTicket: slo.SeverityTicket}
	wanted := map[string]bool{}
	for i, name := range b.Tiers {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch severity, ok := severities[name]; {
		case !kindAt(d, at, mesh.NodeString):
		case !ok:
			hint := "one of Page, Ticket"
			if n := mesh.Nearest(name, []string{tierPage, tierTicket}); n != "" {
				hint = fmt.Sprintf("did you mean %q?", n)
			}
			r.add(d.Problem(at, fmt.Sprintf("unknown tier %q", shorten(name)), hint))
		case wanted[severity]:
			r.add(d.Problem(at, fmt.Sprintf("the tier %s stands twice", name), "leave it out"))
		default:
			wanted[severity] = true
		}
	}
	if len(b.Tiers) == 0 {
		a.Disabled = true
	}
	if len(wanted) == 1 && o.Target.Rat().Sign() > 0 {
		a.Tiers = r.tiersOf(d, wanted, o)
	}
}

// tiersOf returns those of the default tiers that are wanted.
func (r *run) tiersOf(d *mesh.Document, wanted map[string]bool, o *slo.Objective) []slo.Tier {
	tiers, notes := slo.DefaultTiers(o.Target, o.Window.Duration)
	tiers = slices.DeleteFunc(tiers, func(t slo.Tier) bool { return !wanted[t.Severity] })
	if len(tiers) > 0 {
		return tiers
	}
	for severity := range wanted { // it is one
		notes = slices.DeleteFunc(notes, func(n string) bool { return !strings.HasPrefix(n, "tier "+severity+": pair ") })
	}
	r.add(d.Problem("spec.alerts.burnRate.tiers", "with this objective and window the tier could never fire", strings.Join(notes, "; ")))
	return nil
}

// notify returns the names of the targets and notes that they are needed. Whether one exists is checked by the catalogue, since it may
// stand in the same change.
func (r *run) notify(d *mesh.Document, refs []notifyRef, def *mesh.Definition) []string {
	const path = "spec.alerts.notifyRefs"
	if len(refs) > maxNotify {
		r.add(d.Problem(path, fmt.Sprintf("there are %d notifyRefs; at most %d are taken", len(refs), maxNotify), ""))
		return nil
	}
	var out []string
	for i, n := range refs {
		at := fmt.Sprintf("%s[%d]", path, i)
		if !kindAt(d, at, mesh.NodeMap) {
			continue
		}
		if node(d, at+".name") == nil {
			r.absent(d, at+".name", at+".name is missing", "name an AlertNotificationTarget")
			continue
		}
		ref := mesh.Ref{APIVersion: kindTarget.APIVersion, Kind: kindTarget.Kind, Namespace: d.Namespace, Name: n.Name}
		if kindAt(d, at+".namespace", mesh.NodeString) {
			ref.Namespace = n.Namespace
		}
		if !r.label(d, at+".name", ref.Name) || !r.label(d, at+".namespace", ref.Namespace) {
			continue
		}
		if t := r.targets[ref]; t != nil && t.GlobalNamespace != def.GlobalNamespace && t.GlobalNamespace != defaultNamespace {
			r.add(d.Problem(at, fmt.Sprintf("the target %q belongs to global namespace %q, the SLO to %q", n.Name, t.GlobalNamespace, def.GlobalNamespace), "use a target of the same or of the default global namespace"))
		}
		def.References = append(def.References, ref)
		if !slices.Contains(out, n.Name) {
			out = append(out, n.Name)
		}
	}
	return out
}

// label checks a name where there is one.
func (r *run) label(d *mesh.Document, path, name string) bool {
	if node(d, path) == nil {
		return true
	}
	hint := mesh.LabelHint(name)
	if hint != "" && kindAt(d, path, mesh.NodeString) {
		r.add(d.Problem(path, fmt.Sprintf("%s %q is not a DNS label", path, shorten(name)), hint))
	}
	return hint == ""
}

// runbook checks the URL that alerts carry.
func (r *run) runbook(d *mesh.Document, text string) string {
	const path = "spec.alerts.runbook"
	if !kindAt(d, path, mesh.NodeString) {
		return ""
	}
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		r.add(d.Problem(path, "the runbook is not an http or https URL", "write for example https://runbooks.example.com/checkout"))
	}
	return text
}
