package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A group is alerts of one target that wait to be told in one message. Who they are stands at their pairs.
type group struct {
	Key    string            `json:"key"`
	Target string            `json:"target"`
	Labels map[string]string `json:"labels"`
	Due    bus.Time          `json:"due"`
}

// groupLabels are what the target groups an alert by.
func groupLabels(t *Target, e *slo.AlertEvent) map[string]string {
	ls := map[string]string{}
	for _, by := range t.GroupBy {
		switch by {
		case GroupByNamespace:
			ls["global_namespace"] = orDefault(e.GlobalNamespace)
		case GroupByService:
			ls["service"] = e.Service
		case GroupBySeverity:
			ls["severity"] = e.Severity
		}
	}
	return ls
}

// join puts a pair into its group. A first message waits for company; what is tried again has waited already.
func (s *Stage) join(a *alert, p *pair, now bus.Time) {
	t := &s.targets[p.Target].Target
	labels, due := groupLabels(t, &a.Event), now
	if p.Attempt == 0 {
		due += t.groupWait()
	}
	key := p.Target + " " + labelString(labels)
	g := s.groups[key]
	if g == nil {
		g = &group{Key: key, Target: p.Target, Labels: labels, Due: due}
		s.groups[key] = g
	}
	g.Due = min(g.Due, due)
	s.groupAt(g.Due)
	p.Held, p.Silence, p.Group, p.Open = "", "", key, false
	s.due(p, 0)
}

// groupAt notes when a group is due.
func (s *Stage) groupAt(t bus.Time) {
	if s.nextGroup == 0 || t < s.nextGroup {
		s.nextGroup = t
	}
}

// flush sends the groups that are due, the longest waiting first, at most PerTickMax of them.
func (s *Stage) flush(now bus.Time) {
	if s.nextGroup == 0 || now < s.nextGroup {
		return
	}
	var due []*group
	s.nextGroup = 0
	for _, g := range s.groups { // the order is made below
		if g.Due <= now {
			due = append(due, g)
		} else {
			s.groupAt(g.Due)
		}
	}
	slices.SortFunc(due, func(x, y *group) int { return cmp.Or(cmp.Compare(x.Due, y.Due), cmp.Compare(x.Key, y.Key)) })
	if len(due) > s.c.PerTickMax {
		due = due[:s.c.PerTickMax]
		s.groupAt(now)
	}
	members := map[string][]duePair{}
	for _, g := range due {
		members[g.Key] = nil
		delete(s.groups, g.Key)
	}
	for _, id := range s.alertIDs() {
		for _, p := range s.alerts[id].Pairs {
			if ms, ok := members[p.Group]; ok && p.Group != "" {
				members[p.Group] = append(ms, duePair{s.alerts[id], p})
			}
		}
	}
	for _, g := range due {
		s.orderGroup(g, members[g.Key], now)
	}
}

// orderGroup orders one message for those of the group that nothing holds back meanwhile.
func (s *Stage) orderGroup(g *group, members []duePair, now bus.Time) {
	members = slices.DeleteFunc(members, func(m duePair) bool {
		h := s.gate(m.alert, m.pair, now)
		if h.Reason != "" {
			s.hold(m.alert, m.pair, h, now)
		}
		return h.Reason != ""
	})
	if len(members) == 0 {
		return
	}
	if t := s.targets[g.Target]; !t.Target.groups() {
		for _, m := range members {
			s.orderOne(m.alert, m.pair, now)
		}
		return
	}
	slices.SortFunc(members, func(x, y duePair) int {
		return cmp.Or(cmp.Compare(x.pair.State, y.pair.State), cmp.Compare(x.alert.Event.StartsAt, y.alert.Event.StartsAt), cmp.Compare(x.alert.Event.ID, y.alert.Event.ID))
	})
	s.emitGroup(g, members, now)
}

func (s *Stage) emitGroup(g *group, members []duePair, now bus.Time) {
	d := Delivery{
		Version: deliveryVersion2, Kind: KindGroup, Target: s.targets[g.Target].Target, TargetKey: g.Target, NotAfter: now + s.c.Validity, At: now,
		Group: &Group{Key: g.Key, Labels: g.Labels},
	}
	h, bytes := sha256.New(), 0
	h.Write([]byte(g.Target))
	for _, m := range members {
		a, p := m.alert, m.pair
		h.Write([]byte("\x00" + deliveryID(a.Event.ID, p.State, p.Target)))
		p.Attempt++
		p.Open, p.Sent, p.Group = true, now, ""
		s.due(p, now+s.c.ResultTimeout)
		d.Attempt, d.NotAfter = max(d.Attempt, p.Attempt), max(d.NotAfter, now+s.validity(p))
		if n := len(d.Group.Alerts); n > 0 && (n >= s.c.GroupMax || bytes+a.Size > s.c.GroupBytesMax) {
			d.Group.Truncated++
			continue
		}
		e := a.Event
		e.State, bytes = p.State, bytes+a.Size
		d.Group.Alerts = append(d.Group.Alerts, e)
		d.Replies = addReply(d.Replies, p)
	}
	d.ID = "grp-" + hex.EncodeToString(h.Sum(nil)[:16])
	for _, m := range members {
		s.setBatch(m.alert, m.pair, d.ID, d.Attempt)
	}
	d.Alert = d.Group.Alerts[0]
	d.Event = Attributes{ID: d.ID + "-" + strconv.Itoa(d.Attempt), Source: "/evenkeel/notify/0", Type: slo.AlertEventType, Time: now.String()}
	s.stats.Orders++
	s.stats.Groups++
	s.stats.Grouped += uint64(len(members))
	s.stats.Truncated += uint64(d.Group.Truncated)
	s.emit(SubjectDelivery, nil, d)
}

const repliesMax = 20 // messages that one message answers to; mail programs look at the first and the last

func addReply(to []string, p *pair) []string {
	if p.ToldIn == "" || len(to) >= repliesMax || slices.Contains(to, p.ToldIn) {
		return to
	}
	return append(to, p.ToldIn)
}

// batchResult takes what came of a group's order for each of its pairs.
func (s *Stage) batchResult(refs []pairRef, r *Result, now bus.Time) {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, func(x, y pairRef) int { return cmp.Or(cmp.Compare(x.alert, y.alert), cmp.Compare(x.target, y.target)) })
	s.targets[refs[0].target].Health.note(r, now)
	for _, ref := range refs {
		a := s.alerts[ref.alert]
		p := a.pair(ref.target)
		own := *r
		own.ID, own.Attempt = deliveryID(a.Event.ID, p.State, p.Target), p.Attempt
		if p.Open && r.Attempt == p.BatchN {
			s.awaited(a, p, &own, now)
		} else {
			s.staleResult(a, p, &own, now)
		}
	}
}
