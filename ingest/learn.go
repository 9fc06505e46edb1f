package ingest

import (
	"slices"
	"strings"
	"unicode/utf8"

	"evenkeel.dev/bus"
)

const (
	labelName      = "__name__"
	labelReplica   = "__replica__"
	labelCluster   = "cluster"
	labelNamespace = "global_namespace"
)

// sourceNameMax bounds the names of clusters and replicas, which stand in full in each frame.
const sourceNameMax = 256

func namesSource(s string) bool { return len(s) <= sourceNameMax && utf8.ValidString(s) }

// A claim is what a series' labels say beside what it is.
type claim struct {
	cluster, replica, namespace string
	sources                     bool // it has a cluster or replica
}

// learn is the slow way of a series: decoded labels, matched and remembered.
func (a *Arrival) learn(h Hash, ls bus.Labels, flags uint64) (Ref, error) {
	g, v := a.gate, a.view
	if a.sender.over {
		return refuse(SenderLimit, "", 0, 0)
	}
	if s := v.table.find(h, v.gen, a.minute); s != nil {
		return Ref{series: s}, nil
	}
	g.stats.learned.Add(1)
	ls, c, err := a.canonical(ls[:len(ls):len(ls)])
	if err != nil {
		return Ref{why: err.Reason}, err
	}
	mask, hits := v.index.match(c.namespace, ls, a.hits[:0])
	a.hits = hits[:0]
	a.tellBeside(c.namespace, ls)
	if s := v.table.rematch(h, v.gen, mask); s != nil && (mask != 0 || s.watch() != 0) {
		return Ref{series: s}, nil // watched as it was
	}
	watch := g.rewatch(a, h, ls, flags)
	if mask == 0 && watch == 0 {
		a.ignore(h)
		return Ref{}, nil
	}
	if mask == 0 {
		return a.see(h, watch, flags), nil
	}
	src := a.sources[a.current].src
	if c.sources {
		if src = g.findSource(a.sender, c.cluster, c.replica); src == nil {
			g.unwatch(watch)
			return refuse(SourceLimit, labelReplica, 0, 0)
		}
	}
	return a.keep(h, ls, c.namespace, src, mask, flags, watch, hits)
}

// ignore remembers that nobody needs the series, within what the sender may put into the filter.
func (a *Arrival) ignore(h Hash) {
	g, v := a.gate, a.view
	if s := v.table.remove(h, v.gen); s != nil {
		g.forget(s, 0)
	}
	if !a.sender.mayFilter(&g.limits, v.gen, a.now) {
		g.stats.unremembered.Add(1)
		return
	}
	if v.filter.add(h) {
		g.stats.displaced.Add(1)
	}
}

// keep takes the series in, if there is room.
func (a *Arrival) keep(h Hash, ls bus.Labels, space string, src *source, mask, flags uint64, watch uint32, hits []*rule) (Ref, error) {
	g, v := a.gate, a.view
	a.scratch = ls.Append(a.scratch[:0])
	ns, why := g.bounds.admit(a.sender, space, len(a.scratch), a.now)
	if why != 0 {
		a.tell(mask, space, flags, hits)
		g.unwatch(watch)
		return refuse(why, "", 0, 0)
	}
	s := &series{labels: string(a.scratch), source: src, space: ns, marks: watch<<watchShift | uint32(flags)&flagBits}
	s.mask.Store(mask)
	kept, mine := v.table.add(h, v.gen, a.minute, s)
	if !mine {
		g.forget(s, kept.watch())
	}
	return Ref{series: kept}, nil
}

// A refusal is a series that is needed and cannot be kept, to be told to the partitions that need it.
type refusal struct {
	mask   uint64
	flags  uint64
	space  string
	labels string
}

// tellEvery and tellMax bound how often partitions hear that series which they need are refused: once a minute for each selector,
// and so many in one arrival.
const (
	tellEvery = bus.Minute
	tellMax   = 64
)

// tell notes the refused series in a.scratch for the next frame, if one of the selectors that it matches was not told of late.
func (a *Arrival) tell(mask uint64, space string, flags uint64, hits []*rule) {
	news := false
	for _, r := range hits {
		if told := r.told.Load(); int64(a.now) >= told+int64(tellEvery) && r.told.CompareAndSwap(told, int64(a.now)) {
			news = true
		}
	}
	if news && len(a.refusals) < tellMax {
		a.refusals = append(a.refusals, refusal{mask: mask, flags: flags, space: strings.Clone(space), labels: string(a.scratch)})
	}
}

func refuse(why Reason, what string, got, bound int) (Ref, error) {
	return Ref{why: why}, seriesError(why, what, got, bound)
}

func seriesError(why Reason, what string, got, bound int) *SeriesError {
	if len(what) > 64 {
		what = what[:64]
	}
	return &SeriesError{Reason: why, What: strings.Clone(what), Got: got, Bound: bound}
}

// canonical sorts and checks the labels in place, and takes from them what the sender may not decide.
func (a *Arrival) canonical(ls bus.Labels) (bus.Labels, claim, *SeriesError) {
	var c claim
	if n := a.gate.limits.Labels; len(ls) > n {
		return nil, c, seriesError(LabelsTooMany, "", len(ls), n)
	}
	if err := a.measure(ls); err != nil {
		return nil, c, err
	}
	byName := func(x, y bus.Label) int { return strings.Compare(x.Name, y.Name) }
	if !slices.IsSortedFunc(ls, byName) {
		slices.SortFunc(ls, byName)
	}
	out := ls[:0]
	for i, l := range ls {
		if i > 0 && ls[i-1].Name == l.Name {
			return nil, c, seriesError(LabelsInvalid, l.Name, 0, 0)
		}
		if l.Value == "" {
			continue
		}
		if (l.Name == labelReplica || l.Name == labelCluster) && !namesSource(l.Value) {
			return nil, c, seriesError(LabelsTooLong, l.Name, len(l.Value), sourceNameMax)
		}
		switch l.Name {
		case labelReplica:
			c.replica, c.sources = l.Value, true
			continue
		case labelCluster:
			c.cluster, c.sources = l.Value, true
		case labelNamespace:
			c.namespace = l.Value
		}
		out = append(out, l)
	}
	return a.stamp(out, c)
}

// stamp holds what the labels claim against the sender's identity.
func (a *Arrival) stamp(ls bus.Labels, c claim) (bus.Labels, claim, *SeriesError) {
	if ls.Get(labelName) == "" {
		return nil, c, seriesError(NameMissing, labelName, 0, 0)
	}
	if own := a.sender.GlobalNamespace; own != "" {
		if c.namespace != "" && c.namespace != own {
			return nil, c, seriesError(NamespaceMismatch, labelNamespace, 0, 0)
		}
		c.namespace = own
	}
	if own := a.sender.Cluster; own != "" {
		if c.cluster != "" && c.cluster != own {
			return nil, c, seriesError(ClusterMismatch, labelCluster, 0, 0)
		}
		if c.cluster == "" {
			i, _ := slices.BinarySearchFunc(ls, labelCluster, func(l bus.Label, name string) int { return strings.Compare(l.Name, name) })
			ls = slices.Insert(ls, i, bus.Label{Name: labelCluster, Value: own})
		}
		c.cluster, c.sources = own, true
	}
	return ls, c, nil
}

// measure checks lengths and that all is UTF-8.
func (a *Arrival) measure(ls bus.Labels) *SeriesError {
	l, total := &a.gate.limits, 0
	for i := range ls {
		name, value := ls[i].Name, ls[i].Value
		total += len(name) + len(value)
		switch {
		case len(name) > l.NameBytes:
			return seriesError(LabelsTooLong, name, len(name), l.NameBytes)
		case len(value) > l.ValueBytes:
			return seriesError(LabelsTooLong, name, len(value), l.ValueBytes)
		case name == "" || !utf8.ValidString(name) || !utf8.ValidString(value):
			return seriesError(LabelsInvalid, name, 0, 0)
		}
	}
	if total > l.TotalBytes {
		return seriesError(LabelsTooLong, "", total, l.TotalBytes)
	}
	return nil
}
