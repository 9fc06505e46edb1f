package kube

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"time"
	"unique"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/inventory"
)

// kinds are those of keys, in the order in which a listing tells them.
var kinds = []string{
	inventory.KindNamespace, inventory.KindNode, kindDeployment, kindReplicaSet, kindStatefulSet, kindDaemonSet, kindJob, kindCronJob,
	inventory.KindHost, inventory.KindInstance,
}

// A book holds what is known of a cluster and what of that is still to be told. It knows no clock and no API; its owner guards it.
type book struct {
	trustDomain string
	bytes       int // bound of an object
	tables      map[string]*table
	queue       []inventory.Key // of entries that may differ from what was told, each once
	seed        maphash.Seed

	selectors map[string]map[string]int    // namespace, key of a label: how many Services select by it
	crons     map[string]map[string]string // namespace, Job: the CronJob that made it
	lost      map[string]bool              // nodes that nobody hears of
}

// A table holds the objects of a kind, by namespace and name.
type table struct {
	rows  map[string]map[string]*entry
	count int // of those that are there
	most  int
	left  int // that are in the cluster and not here, because of bounds
}

type entry struct {
	fact   any    // nil: it is gone, and that is still to be told
	told   uint64 // hash of what was told last; 0: nothing
	queued bool
}

func newBook(b Bounds, trustDomain string) *book {
	out := &book{
		trustDomain: trustDomain, bytes: b.Bytes, tables: map[string]*table{}, seed: maphash.MakeSeed(),
		selectors: map[string]map[string]int{}, crons: map[string]map[string]string{}, lost: map[string]bool{},
	}
	for _, k := range kinds {
		out.tables[k] = &table{rows: map[string]map[string]*entry{}, most: b.of(k)}
	}
	return out
}

func (t *table) find(namespace, name string) *entry { return t.rows[namespace][name] }

// live returns the entry of an object that is there, or nil.
func (t *table) live(namespace, name string) *entry {
	if e := t.find(namespace, name); e != nil && e.fact != nil {
		return e
	}
	return nil
}

// set takes what an object is now. Only a new one that is left out is counted as such, since a left one that changes was counted when it was new.
func (b *book) set(kind string, s *stripped, isNew bool) {
	if kind == kindJob {
		b.setCron(s)
	}
	t := b.tables[kind]
	live := t.live(s.namespace, s.name) != nil
	switch {
	case s.fact == nil:
		b.drop(kind, s.namespace, s.name)
	case s.weight > b.bytes || !live && t.count >= t.most:
		if live || isNew {
			t.left++
		}
		b.drop(kind, s.namespace, s.name)
	default:
		if !live && !isNew {
			t.left = max(0, t.left-1)
		}
		b.put(kind, s)
	}
}

// remove takes that an object is gone.
func (b *book) remove(kind string, s *stripped) {
	if kind == kindJob {
		delete(b.crons[s.namespace], s.name)
		if len(b.crons[s.namespace]) == 0 {
			delete(b.crons, s.namespace)
		}
	}
	t := b.tables[kind]
	if t.live(s.namespace, s.name) == nil && s.fact != nil {
		t.left = max(0, t.left-1)
	}
	b.drop(kind, s.namespace, s.name)
}

// replace takes that these are all objects of a kind. Over a bound the newest stay out.
func (b *book) replace(kind string, all []*stripped) {
	if kind == kindJob {
		clear(b.crons)
	}
	t := b.tables[kind]
	there := make(map[[2]string]bool, len(all))
	for _, s := range all {
		there[[2]string{s.namespace, s.name}] = true
	}
	for ns, row := range t.rows {
		for name, e := range row {
			if e.fact != nil && !there[[2]string{ns, name}] {
				b.drop(kind, ns, name)
			}
		}
	}
	if len(all) > t.most {
		slices.SortStableFunc(all, func(x, y *stripped) int { return cmp.Compare(x.created, y.created) })
	}
	t.left = 0
	for _, s := range all {
		b.set(kind, s, true)
	}
}

func (b *book) put(kind string, s *stripped) {
	t := b.tables[kind]
	row := t.rows[s.namespace]
	if row == nil {
		row = map[string]*entry{}
		t.rows[s.namespace] = row
	}
	e := row[s.name]
	if e == nil {
		e = &entry{}
		row[s.name] = e
	}
	old := e.fact
	if old == nil {
		t.count++
	}
	if p, ok := s.fact.(*pod); ok {
		b.adopt(s.namespace, p, old)
	}
	e.fact = s.fact
	b.mark(kind, s.namespace, s.name, e)
	b.around(s.namespace, s.name, old, s.fact)
}

func (b *book) drop(kind, namespace, name string) {
	t := b.tables[kind]
	e := t.live(namespace, name)
	if e == nil {
		return
	}
	old := e.fact
	e.fact = nil
	t.count--
	b.mark(kind, namespace, name, e)
	b.around(namespace, name, old, nil)
}

// mark queues an entry that may have to be told.
func (b *book) mark(kind, namespace, name string, e *entry) {
	if !e.queued {
		e.queued = true
		b.queue = append(b.queue, inventory.Key{Kind: kind, Namespace: namespace, Name: name})
	}
}

// adopt gives a pod of a Job the CronJob behind it. A pod keeps it when its Job is deleted before it.
func (b *book) adopt(namespace string, p *pod, old any) {
	if p.ownerKind.Value() != kindJob {
		return
	}
	if cron := b.crons[namespace][p.owner.Value()]; cron != "" {
		p.cron = unique.Make(cron)
	} else if o, ok := old.(*pod); ok && o.owner == p.owner {
		p.cron = o.cron
	}
}

func (b *book) setCron(s *stripped) {
	if s.cron == "" || b.crons[s.namespace][s.name] == s.cron {
		return
	}
	if b.crons[s.namespace] == nil {
		b.crons[s.namespace] = map[string]string{}
	}
	b.crons[s.namespace][s.name] = s.cron
	b.markPods(s.namespace, func(p *pod) bool {
		if p.ownerKind.Value() != kindJob || p.owner.Value() != s.name {
			return false
		}
		p.cron = unique.Make(s.cron)
		return true
	})
}

// around marks pods for which something has changed beside them.
func (b *book) around(namespace, name string, old, fact any) {
	switch x := cmp.Or(fact, old).(type) {
	case *inventory.Host:
		before := maps.Clone(b.selectors[namespace])
		o, _ := old.(*inventory.Host)
		n, _ := fact.(*inventory.Host)
		b.selectBy(namespace, o, -1)
		b.selectBy(namespace, n, 1)
		same := func(int, int) bool { return true } // whether a label is told depends on its being there
		if !maps.EqualFunc(before, b.selectors[namespace], same) {
			b.markPods(namespace, func(*pod) bool { return true })
		}
	case *inventory.Node:
		lost := fact != nil && !x.Ready && x.Reason == reasonNodeLost
		if lost == b.lost[name] {
			return
		}
		if lost {
			b.lost[name] = true
		} else {
			delete(b.lost, name)
		}
		for ns := range b.tables[inventory.KindInstance].rows {
			b.markPods(ns, func(p *pod) bool { return p.node.Value() == name })
		}
	}
}

func (b *book) selectBy(namespace string, h *inventory.Host, n int) {
	if h == nil {
		return
	}
	m := b.selectors[namespace]
	if m == nil {
		m = map[string]int{}
		b.selectors[namespace] = m
	}
	for k := range h.Selector {
		if m[k] += n; m[k] == 0 {
			delete(m, k)
		}
	}
	if len(m) == 0 {
		delete(b.selectors, namespace)
	}
}

func (b *book) markPods(namespace string, which func(*pod) bool) {
	for name, e := range b.tables[inventory.KindInstance].rows[namespace] {
		if p, ok := e.fact.(*pod); ok && which(p) {
			b.mark(inventory.KindInstance, namespace, name, e)
		}
	}
}

// relist makes all that is there untold, and what is gone forgotten.
func (b *book) relist() {
	b.queue = nil
	for _, kind := range kinds {
		t := b.tables[kind]
		for _, ns := range slices.Sorted(maps.Keys(t.rows)) {
			for _, name := range slices.Sorted(maps.Keys(t.rows[ns])) {
				e := t.rows[ns][name]
				if e.told, e.queued = 0, false; e.fact == nil {
					t.forget(ns, name)
					continue
				}
				b.mark(kind, ns, name, e)
			}
		}
	}
}

func (t *table) forget(namespace, name string) {
	delete(t.rows[namespace], name)
	if len(t.rows[namespace]) == 0 {
		delete(t.rows, namespace)
	}
}

// take moves what is to be told into the observation, as much as fits into limit bytes of JSON, and at least one object. It reports how many changes it
// moved, and how many entries it found to be as they were told.
func (b *book) take(o *inventory.Observation, limit int) (moved, same int) {
	size, done := 0, 0
	for _, k := range b.queue {
		t := b.tables[k.Kind]
		e := t.find(k.Namespace, k.Name)
		if e.fact == nil && e.told == 0 { // came and went untold
			t.forget(k.Namespace, k.Name)
			done++
			continue
		}
		value := any(k)
		if e.fact != nil {
			value = b.view(k.Namespace, k.Name, e.fact)
		}
		data, err := json.Marshal(value)
		if err != nil {
			panic(fmt.Sprintf("marshal %T: %v", value, err)) // strings and numbers only
		}
		sum := maphash.Bytes(b.seed, data) | 1
		if e.fact != nil && sum == e.told {
			e.queued = false
			same++
			done++
			continue
		}
		if size += len(data) + 1; size > limit && moved > 0 {
			break
		}
		add(o, value)
		e.told, e.queued = sum, false
		if e.fact == nil {
			t.forget(k.Namespace, k.Name)
		}
		moved++
		done++
	}
	if b.queue = b.queue[done:]; len(b.queue) == 0 {
		b.queue = nil
	}
	return moved, same
}

func add(o *inventory.Observation, value any) {
	switch x := value.(type) {
	case *inventory.Namespace:
		o.Namespaces = append(o.Namespaces, *x)
	case *inventory.Node:
		o.Nodes = append(o.Nodes, *x)
	case *inventory.Workload:
		o.Workloads = append(o.Workloads, *x)
	case *inventory.Host:
		o.Hosts = append(o.Hosts, *x)
	case *inventory.Instance:
		o.Instances = append(o.Instances, *x)
	case inventory.Key:
		o.Gone = append(o.Gone, x)
	}
}

// view returns what is told of an object.
func (b *book) view(namespace, name string, fact any) any {
	p, ok := fact.(*pod)
	if !ok {
		return fact
	}
	labels := p.labels.Value()
	kind, owner := p.ownerKind.Value(), p.owner.Value()
	if cron := p.cron.Value(); cron != "" {
		kind, owner = kindCronJob, cron
	}
	workload, base := workloadOf(labels.get, kind, owner, name)
	i := &inventory.Instance{
		Namespace: namespace, Name: name, Service: serviceOf(labels.get, base), Version: versionOf(labels.get, base), Workload: workload,
		Node: p.node.Value(), IP: p.ip, Account: p.account.Value(), Images: decodeImages(p.images.Value()),
		State: p.state, Reason: p.reason.Value(), Done: p.done, Sidecar: p.sidecar, Restarts: int(p.restarts), Created: p.created,
	}
	if b.lost[i.Node] && !p.done {
		i.State, i.Reason = inventory.StateUnknown, reasonNodeLost
	}
	if b.trustDomain != "" && i.Account != "" {
		i.Identity = "spiffe://" + b.trustDomain + "/ns/" + namespace + "/sa/" + i.Account
	}
	selected := b.selectors[namespace]
	for k, v := range labels.all() {
		if selected[k] > 0 {
			if i.Labels == nil {
				i.Labels = map[string]string{}
			}
			i.Labels[k] = v
		}
	}
	return i
}

// left returns how many objects bounds keep out.
func (b *book) left() int {
	n := 0
	for _, t := range b.tables {
		n += t.left
	}
	return n
}

// A life is what an observer counts between two listings.
type life struct {
	id     string
	number uint64
	info   bool     // was told
	listed bool     // the listing is complete
	sent   bus.Time // when the last observation was taken
	phase  string
	since  time.Time // when something came to be told
}
