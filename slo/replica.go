package slo

import (
	"bytes"
	"slices"

	"evenkeel.dev/bus"
)

// settle is how long, in event time, two replicas may differ in the number of counter resets they have shown. After that the one
// that showed fewer has passed a reset that its samples do not show.
const settle = 2 * bus.Minute

// A group is a highly available set of senders that send the same series: one sender identity and cluster, several replicas. The
// elected one is counted; of one standby the last values are kept. A third replica waits until it is the standby.
type group struct {
	key      sourceKey // without replica
	elected  string
	standby  string
	electAt  bus.Time // record time of the elected one's last frame
	standbyA bus.Time // record time of the standby's last frame
}

// Roles of a block's source.
const (
	roleCounted = iota
	roleStandby
	roleIgnored
)

// A shadow is what the standby shows of a series while the elected replica is counted.
type shadow struct {
	series uint32 // plus one; 0 where the place is free
	// ahead is how many resets the standby has shown more than the elected one. While it is 0, values of both compare directly.
	ahead int8
	v     float64
	t     bus.Time
	// extra is, while ahead is above 0, what the standby counted up to its newest reset beyond what the elected one was counted for.
	extra float64
	at    bus.Time // event time when ahead left 0
}

// A handover says, after a fail-over, what the new replica's increases must first make up for.
type handover struct {
	debt  float64  // counted before, and not shown by the new replica yet
	skip  int8     // resets that the old one has shown and the new one has not
	until bus.Time // event time when skip is given up
}

// role finds the role of a source and its group (0: none).
func (s *Stage) role(c *source) (int, uint16) {
	if c.key.replica == "" {
		return roleCounted, 0
	}
	g, id := s.group(c.key)
	if g == nil {
		return roleIgnored, 0
	}
	switch c.key.replica {
	case g.elected:
		return roleCounted, id
	case g.standby:
		return roleStandby, id
	}
	return roleIgnored, id
}

func (s *Stage) isStandby(c *source) bool {
	if c.key.replica == "" {
		return false
	}
	key := c.key
	key.replica = ""
	id, ok := s.groupIndex[key]
	return ok && s.groups[id-1].elected != c.key.replica
}

// group returns the group of a replica; it is nil when there are too many.
func (s *Stage) group(key sourceKey) (*group, uint16) {
	replica := key.replica
	key.replica = ""
	if id, ok := s.groupIndex[key]; ok {
		return s.groups[id-1], id
	}
	if len(s.groups) >= maxSources {
		s.Stats.GroupsRefused.Add(1)
		return nil, 0
	}
	g := &group{key: key, elected: replica, electAt: s.now}
	s.groups = append(s.groups, g)
	id := uint16(len(s.groups))
	s.groupIndex[key] = id
	return g, id
}

// elect notes which replicas a frame came from and changes the elected one where it must.
func (s *Stage) elect(sources []*source) {
	for _, c := range sources {
		if c.key.replica == "" {
			continue
		}
		g, id := s.group(c.key)
		switch {
		case g == nil:
		case c.key.replica == g.elected:
			g.electAt = s.now
		case c.key.replica == g.standby:
			g.standbyA = s.now
		case g.standby == "" || s.now-g.standbyA > failoverAfter:
			s.dropShadows(id)
			g.standby, g.standbyA = c.key.replica, s.now
		}
	}
	s.failover()
}

func (s *Stage) failover() {
	var ids []uint16
	for i, g := range s.groups {
		if g.standby != "" && s.now-g.electAt > failoverAfter && s.now-g.standbyA <= failoverAfter {
			ids = append(ids, uint16(i+1))
		}
	}
	slices.SortFunc(ids, func(a, b uint16) int { return compareKeys(s.groups[a-1].key, s.groups[b-1].key) })
	for _, id := range ids {
		g := s.groups[id-1]
		s.Stats.Failovers.Add(1)
		s.swap(id)
		g.elected, g.standby = g.standby, g.elected
		g.electAt, g.standbyA = g.standbyA, g.electAt
	}
}

// members returns the series of a group that have a shadow, by identity.
func (s *Stage) members(id uint16) []uint32 {
	var out []uint32
	for i := range s.shadows {
		if n := s.shadows[i].series; n > 0 && s.series[n-1].group == id {
			out = append(out, n-1)
		}
	}
	slices.SortFunc(out, func(a, b uint32) int { return bytes.Compare(s.ids[a][:], s.ids[b][:]) })
	return out
}

func (s *Stage) dropShadows(id uint16) {
	for _, i := range s.members(id) {
		se := &s.series[i]
		s.shadows[se.shadow-1] = shadow{}
		s.freeShadows = append(s.freeShadows, se.shadow-1)
		se.shadow = 0
	}
}

// swap makes the standby of a group the one that counts: each series goes on from the standby's last value, and what that is
// beyond what was counted is counted now.
func (s *Stage) swap(id uint16) {
	for _, i := range s.members(id) {
		se := &s.series[i]
		sh := &s.shadows[se.shadow-1]
		counted := se.last
		if h, ok := s.handovers[i]; ok {
			counted = h.debt
			if h.skip == 0 {
				counted += se.last
			}
		}
		var d float64
		next := handover{}
		old := shadow{series: i + 1, ahead: -sh.ahead, v: se.last, t: se.t, at: sh.t}
		switch {
		case sh.ahead > 0:
			d = max(0, sh.extra+sh.v)
		case sh.ahead == 0:
			d, next.debt = max(0, sh.v-counted), max(0, counted-sh.v)
		default:
			next = handover{debt: counted, skip: -sh.ahead, until: sh.t + settle}
			old.extra = -counted
		}
		if se.flags&seriesHas == 0 {
			old = shadow{series: i + 1, ahead: 1, extra: -sh.v} // the old one has shown nothing yet
			old.at = sh.t
		}
		before := se.t
		se.last, se.t = sh.v, sh.t
		se.flags |= seriesHas
		s.owe(i, next)
		*sh = old
		s.count(se.list, before, se.t, d)
	}
}

// owe notes a handover; an empty one ends it.
func (s *Stage) owe(i uint32, h handover) {
	if h.debt == 0 && h.skip == 0 {
		delete(s.handovers, i)
		s.series[i].flags &^= seriesDebt
		return
	}
	s.handovers[i] = h
	s.series[i].flags |= seriesDebt
}

// settleDebt returns what an increase of the new replica counts, after what was counted before the fail-over.
func (s *Stage) settleDebt(i uint32, se *series, t bus.Time, v float64, reset bool) float64 {
	h := s.handovers[i]
	d := v - se.last
	switch {
	case h.skip > 0 && (reset && h.skip == 1 || !reset && t > h.until):
		h.skip = 0
		d, h.debt = max(0, v-h.debt), max(0, h.debt-v)
	case h.skip > 0:
		if reset {
			h.skip--
		}
		d = 0
	case reset:
		d, h.debt = v, 0
	default:
		paid := min(d, h.debt)
		d, h.debt = d-paid, h.debt-paid
	}
	s.owe(i, h)
	return d
}

// shade takes a sample of the standby.
func (s *Stage) shade(i uint32, id uint16, c *source, t, start bus.Time, v float64) {
	se := &s.series[i]
	if !(v >= 0 && v <= maxValue) || se.flags&seriesGauge != 0 {
		return
	}
	if se.shadow == 0 {
		s.newShadow(i, id, c, t, start, v)
		return
	}
	sh := &s.shadows[se.shadow-1]
	switch {
	case t <= sh.t:
		return
	case se.flags&seriesDelta != 0:
		if t > se.t {
			sh.extra += v
		}
		sh.t = t
		return
	case v < sh.v || start > sh.t:
		if sh.ahead == 0 {
			sh.extra, sh.at = max(0, sh.v-se.last), t
		} else if sh.ahead > 0 {
			sh.extra += sh.v
		}
		sh.ahead = min(sh.ahead+1, 100)
		if sh.ahead == 0 {
			sh.extra = 0
		}
	case sh.ahead < 0 && t > sh.at+settle:
		sh.ahead, sh.extra = 0, 0
	}
	sh.v, sh.t = v, t
}

func (s *Stage) newShadow(i uint32, id uint16, c *source, t, start bus.Time, v float64) {
	se := &s.series[i]
	sh := shadow{series: i + 1, v: v, t: t}
	switch {
	case se.flags&seriesDelta != 0:
		sh.v, sh.ahead = 0, 1
		if t > se.t {
			sh.extra = v
		}
	case se.flags&seriesHas == 0:
		sh.ahead, sh.at = 1, t
		sh.extra = s.first(se, c, t, start, v) - v
	}
	if n := len(s.freeShadows); n > 0 {
		se.shadow, s.freeShadows = s.freeShadows[n-1]+1, s.freeShadows[:n-1]
		s.shadows[se.shadow-1] = sh
	} else {
		s.shadows = append(s.shadows, sh)
		se.shadow = uint32(len(s.shadows))
	}
	se.group = id
}

// follow keeps the comparison with the standby right when the counted replica shows a value.
func (s *Stage) follow(se *series, t bus.Time, first, reset bool) {
	sh := &s.shadows[se.shadow-1]
	switch {
	case se.flags&seriesDelta != 0:
		sh.extra = 0
	case first:
		sh.ahead, sh.extra = 0, 0
	case reset:
		sh.ahead = max(sh.ahead-1, -100)
		if sh.ahead == 0 {
			sh.extra = 0
		} else if sh.ahead < 0 {
			sh.at = t
		}
	case sh.ahead > 0 && t > sh.at+settle:
		sh.ahead, sh.extra = 0, 0
	}
}
