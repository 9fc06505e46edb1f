package openslo

import (
	"fmt"
	"slices"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// A policyResult is a compiled alert policy.
type policyResult struct {
	conditions []conditionResult
	notify     []string
	targets    []*entry
	paths      []string // of the targets, in the policy's document
	refs       []mesh.Ref
	ok         bool
}

// A conditionResult is one alert and where it is written.
type conditionResult struct {
	tier slo.Tier
	doc  *mesh.Document
	path string // of the threshold
}

func (r *run) compilePolicy(e *entry, def *mesh.Definition) {
	d := r.document(e)
	var o object[policySpec]
	r.decode(d, &o, &o.Metadata, def)
	r.description(d, o.Spec.Description)
	def.References = append(def.References, r.storedPolicy(e).refs...)
}

// storedPolicy compiles an AlertPolicy object once.
func (r *run) storedPolicy(e *entry) *policyResult {
	if e.policy == nil {
		d := r.document(e)
		var o object[policySpec]
		bad := d.Decode("", &o)
		r.add(bad...)
		e.policy = r.policy(d, "spec", d.Name, &o.Spec)
		e.policy.ok = e.policy.ok && len(bad) == 0
	}
	return e.policy
}

// policy checks and compiles the spec of a policy at path.
func (r *run) policy(d *mesh.Document, path, name string, s *policySpec) *policyResult {
	before := len(r.problems)
	p := &policyResult{}
	for _, f := range []struct {
		field string
		value *bool
		want  bool
		hint  string
	}{
		{"alertWhenBreaching", s.AlertWhenBreaching, true, "an alert tells when it begins; leave the field out or remove the policy"},
		{"alertWhenResolved", s.AlertWhenResolved, true, "an alert tells when it ends, since receivers close by it; leave the field out or write true"},
	} {
		if f.value != nil && *f.value != f.want {
			r.add(d.Problem(path+"."+f.field, fmt.Sprintf("%s: %t is not supported yet", f.field, *f.value), f.hint))
		}
	}
	if n := node(d, path+".conditions"); len(s.Conditions) == 0 && (n == nil || n.Kind == mesh.NodeList) {
		r.absent(d, path+".conditions", "the policy has no conditions", "write - conditionRef: NAME, or a condition itself")
	}
	for i := range s.Conditions {
		r.conditionItem(d, fmt.Sprintf("%s.conditions[%d]", path, i), name, &s.Conditions[i], p)
	}
	if node(d, path+".notificationTargets") == nil {
		r.absent(d, path+".notificationTargets", "the policy has no notificationTargets", "write - targetRef: NAME")
	}
	for i := range s.NotificationTargets {
		r.targetItem(d, fmt.Sprintf("%s.notificationTargets[%d]", path, i), &s.NotificationTargets[i], p)
	}
	if s.AlertWhenNoData != nil && *s.AlertWhenNoData && len(p.conditions) > 0 {
		first := p.conditions[0]
		p.conditions = append(p.conditions, conditionResult{tier: slo.Tier{Name: name + "-no-data", Severity: first.tier.Severity, Absent: absentAfter}, doc: d, path: path + ".alertWhenNoData"})
	}
	for i := range p.conditions {
		p.conditions[i].tier.Notify = p.notify
	}
	p.ok = len(r.problems) == before
	return p
}

func (r *run) conditionItem(d *mesh.Document, path, policy string, c *conditionItem, p *policyResult) {
	ref := node(d, path+".conditionRef")
	switch {
	case ref != nil && c.Spec != nil:
		r.add(d.Problem(path+".conditionRef", "conditionRef and a condition with spec exclude each other", "keep one of them"))
	case ref != nil && ref.Kind == mesh.NodeString:
		e := r.lookup(d, path+".conditionRef", KindCondition, c.ConditionRef)
		if e == nil {
			return
		}
		of := r.document(e)
		p.refs = append(p.refs, of.Ref())
		var o object[conditionSpec]
		r.add(of.Decode("", &o)...)
		p.conditions = append(p.conditions, r.condition(of, "spec", of.Name, &o.Spec))
	case ref != nil:
	case c.Spec == nil:
		if n := node(d, path); n != nil && n.Kind == mesh.NodeMap {
			r.absent(d, path, "the condition has neither conditionRef nor spec", "write conditionRef: NAME")
		}
	default:
		name := policy
		if c.Metadata != nil && c.Metadata.Name != "" {
			name = c.Metadata.Name
			if hint := mesh.LabelHint(name); hint != "" {
				r.add(d.Problem(path+".metadata.name", fmt.Sprintf("the condition's name %q is not a DNS label", name), hint))
			}
		}
		r.kindOf(d, path, c.Kind, KindCondition)
		p.conditions = append(p.conditions, r.condition(d, path+".spec", name, c.Spec))
	}
}

// kindOf checks the kind of an object that stands inside another, where it says one.
func (r *run) kindOf(d *mesh.Document, path, kind, want string) {
	if kind != "" && kind != want {
		r.add(d.Problem(path+".kind", fmt.Sprintf("kind %q cannot stand here", kind), "write kind: "+want))
	}
}

func (r *run) targetItem(d *mesh.Document, path string, t *targetItem, p *policyResult) {
	switch ref := node(d, path+".targetRef"); {
	case t.Spec != nil || t.Metadata != nil:
		r.add(d.Problem(path, "a target inside a policy is not supported yet", "write the AlertNotificationTarget as a document of its own and targetRef: NAME here"))
	case ref == nil:
		if n := node(d, path); n != nil && n.Kind == mesh.NodeMap {
			r.absent(d, path, "the notification target has no targetRef", "write targetRef: NAME")
		}
	case ref.Kind == mesh.NodeString:
		e := r.lookup(d, path+".targetRef", KindTarget, t.TargetRef)
		if e == nil {
			return
		}
		p.refs = append(p.refs, r.document(e).Ref())
		if !slices.Contains(p.notify, t.TargetRef) {
			p.notify = append(p.notify, t.TargetRef)
			p.targets = append(p.targets, e)
			p.paths = append(p.paths, path+".targetRef")
		}
	}
}

// shortShare is the short window's share of the long one (SRE workbook, chapter 5).
const shortShare = 12

// condition checks and compiles the spec of an alert condition at path.
func (r *run) condition(d *mesh.Document, path, name string, s *conditionSpec) conditionResult {
	out := conditionResult{tier: slo.Tier{Name: name}, doc: d, path: path + ".condition.threshold"}
	out.tier.Severity = r.severity(d, path+".severity", s.Severity)
	c := s.Condition
	if c == nil {
		if n := node(d, path+".condition"); n == nil {
			r.absent(d, path+".condition", "condition is missing", "write condition: {kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h}")
		}
		return out
	}
	path += ".condition"
	if c.Kind != "" && c.Kind != "burnrate" {
		hint := "the only kind is burnrate"
		r.add(d.Problem(path+".kind", fmt.Sprintf("unknown kind of condition %q", c.Kind), hint))
	}
	switch n := node(d, path+".op"); {
	case n == nil:
		r.absent(d, path+".op", "op is missing", "write op: gt")
	case c.Op == "lt" || c.Op == "lte":
		r.add(d.Problem(path+".op", fmt.Sprintf("op %s would alert while little is burnt", c.Op), "write op: gt"))
	case c.Op != "gt" && c.Op != "gte" && n.Kind == mesh.NodeString:
		r.add(d.Problem(path+".op", fmt.Sprintf("unknown op %q", c.Op), "write op: gt"))
	}
	if pair, ok := r.pair(d, path, c); ok {
		out.tier.Pairs = []slo.BurnPair{pair}
	}
	return out
}

func (r *run) severity(d *mesh.Document, path, text string) string {
	switch n := node(d, path); {
	case n == nil:
		r.absent(d, path, "severity is missing", "write severity: page or severity: ticket")
	case text == "page" || text == "critical":
		return slo.SeverityPage
	case text == "ticket" || text == "warning":
		return slo.SeverityTicket
	case n.Kind == mesh.NodeString:
		r.add(d.Problem(path, fmt.Sprintf("severity %q is neither page nor ticket", text), "page wakes somebody up, ticket waits for the morning"))
	}
	return ""
}

// pair makes the two windows of a condition.
func (r *run) pair(d *mesh.Document, path string, c *condition) (slo.BurnPair, bool) {
	var p slo.BurnPair
	switch n := node(d, path+".threshold"); {
	case n == nil:
		r.absent(d, path+".threshold", "threshold is missing", "a burn rate, for example 14.4")
		return p, false
	case c.Threshold == "":
		return p, false
	}
	var err error
	if p.Factor, err = slo.ParseDecimal(c.Threshold.String()); err != nil || p.Factor.Rat().Sign() <= 0 {
		r.add(d.Problem(path+".threshold", fmt.Sprintf("the threshold must be a burn rate above 0, found %s", c.Threshold), "for example 14.4"))
		return p, false
	}
	var ok bool
	if p.Long, ok = r.duration(d, path+".lookbackWindow", c.LookbackWindow, "for example 1h"); !ok {
		return p, false
	}
	least := slo.Duration(bus.Minute)
	p.Short = max(p.Long/shortShare/least*least, least)
	if c.AlertAfter != "" && c.AlertAfter != "0m" {
		if p.Short, ok = r.duration(d, path+".alertAfter", c.AlertAfter, "for example 5m"); !ok {
			return p, false
		}
	}
	if p.Short >= p.Long {
		at, hint := path+".alertAfter", "it is the short window: the burn rate over it must be above the threshold too"
		if node(d, at) == nil {
			at, hint = path+".lookbackWindow", "at least 2m"
		}
		r.add(d.Problem(at, fmt.Sprintf("the short window of %s is not shorter than the lookbackWindow of %s", p.Short, p.Long), hint))
		return p, false
	}
	return p, true
}

// alerting compiles the alertPolicies of an SLO. The tiers are set later, when the target is known.
func (r *run) alerting(d *mesh.Document, s *sloSpec, m *metadata, def *mesh.Definition) slo.Alerting {
	a := slo.Alerting{Runbook: r.runbook(d, m), Annotations: alertAnnotations(s.Description, m)}
	s.defaults = r.someDefaults(d, m)
	r.extra(d, m, &a)
	const path = "spec.alertPolicies"
	n := node(d, path)
	a.Disabled = n != nil && n.Kind == mesh.NodeList && len(n.Items) == 0
	for i := range s.AlertPolicies {
		at := fmt.Sprintf("%s[%d]", path, i)
		p := r.policyItem(d, at, &s.AlertPolicies[i], def)
		if p == nil {
			continue
		}
		for j, e := range p.targets {
			r.reachable(d, at, p.notify[j], e, def)
		}
		s.AlertPolicies[i].result = p
	}
	return a
}

// reachable checks that a target is of the SLO's global namespace or of the default one, where alerts look for it.
func (r *run) reachable(d *mesh.Document, path, name string, e *entry, def *mesh.Definition) {
	of := r.document(e)
	var m metadata
	of.Decode("metadata", &m) // its problems are told when its turn comes
	scratch := run{}
	if gns := scratch.globalNamespace(of, &m); gns != def.GlobalNamespace && gns != "default" {
		r.add(d.Problem(path, fmt.Sprintf("the target %q belongs to global namespace %q, the SLO to %q", name, gns, def.GlobalNamespace), "use a target of the same or of the default global namespace"))
	}
}

func (r *run) policyItem(d *mesh.Document, path string, item *policyItem, def *mesh.Definition) *policyResult {
	ref := node(d, path+".alertPolicyRef")
	switch {
	case ref != nil && item.Spec != nil:
		r.add(d.Problem(path+".alertPolicyRef", "alertPolicyRef and a policy with spec exclude each other", "keep one of them"))
	case ref != nil && ref.Kind == mesh.NodeString:
		e := r.lookup(d, path+".alertPolicyRef", KindPolicy, item.AlertPolicyRef)
		if e == nil {
			return nil
		}
		def.References = append(def.References, r.document(e).Ref())
		return r.storedPolicy(e)
	case ref != nil:
	case item.Spec == nil:
		if n := node(d, path); n != nil && n.Kind == mesh.NodeMap {
			r.absent(d, path, "the alert policy has neither alertPolicyRef nor spec", "write alertPolicyRef: NAME")
		}
	default:
		r.kindOf(d, path, item.Kind, KindPolicy)
		name := d.Name
		if item.Metadata != nil && item.Metadata.Name != "" {
			name = item.Metadata.Name
		}
		p := r.policy(d, path+".spec", name, item.Spec)
		def.References = append(def.References, p.refs...)
		return p
	}
	return nil
}

// tiers joins the alerts of all policies for one objective and checks each where it is written.
func (r *run) tiers(d *mesh.Document, s *sloSpec, o *slo.Objective) {
	o.Alerting.Tiers = nil
	for i := range s.AlertPolicies {
		p := s.AlertPolicies[i].result
		if p == nil || !p.ok {
			continue
		}
		for _, c := range p.conditions {
			r.tier(d, fmt.Sprintf("spec.alertPolicies[%d]", i), c, o)
		}
	}
	keepDefaults(o, s.defaults)
}

func (r *run) tier(d *mesh.Document, path string, c conditionResult, o *slo.Objective) {
	for j := range o.Alerting.Tiers {
		if t := &o.Alerting.Tiers[j]; t.Name == c.tier.Name {
			if !slices.Equal(t.Pairs, c.tier.Pairs) || t.Severity != c.tier.Severity || t.Absent != c.tier.Absent {
				r.add(d.Problem(path, fmt.Sprintf("two different conditions are named %q", c.tier.Name), "rename one of them"))
				return
			}
			for _, n := range c.tier.Notify {
				if !slices.Contains(t.Notify, n) {
					t.Notify = append(slices.Clip(t.Notify), n)
				}
			}
			return
		}
	}
	if o.Target.Rat().Sign() > 0 {
		if err := slo.ValidateTiers([]slo.Tier{c.tier}, o.Target, o.Window.Duration); err != nil {
			at := path
			if c.doc == d {
				at = c.path
			}
			r.add(d.Problem(at, err.Error(), ""))
			return
		}
	}
	o.Alerting.Tiers = append(slices.Clip(o.Alerting.Tiers), c.tier)
}
