package bus

// A SelectorIndex finds, of many selectors, the few that a series can match: by the metric's name, and by the one label, of those that a
// selector asks for exactly, that the fewest others ask for. Build it with [NewSelectorIndex]; it does not change.
type SelectorIndex[T any] struct {
	byName map[string]*selectorGroup[T] // "": selectors that name no metric, or an expression of names
}

type selectorGroup[T any] struct {
	byPair map[Label][]T
	rest   []T // they ask for no label exactly
}

// NewSelectorIndex builds an index over items by their selectors.
func NewSelectorIndex[T any](items []T, selector func(*T) Selector) *SelectorIndex[T] {
	named := map[string][]T{}
	for i := range items {
		n := selector(&items[i]).MetricName()
		named[n] = append(named[n], items[i])
	}
	x := &SelectorIndex[T]{byName: make(map[string]*selectorGroup[T], len(named))}
	for n, its := range named {
		x.byName[n] = newSelectorGroup(its, selector)
	}
	return x
}

func newSelectorGroup[T any](items []T, selector func(*T) Selector) *selectorGroup[T] {
	count := map[Label]int{}
	for i := range items {
		for _, m := range selector(&items[i]).Matchers() {
			if m.exact() {
				count[Label{Name: m.Name, Value: m.Value}]++
			}
		}
	}
	g := &selectorGroup[T]{byPair: map[Label][]T{}}
	for i := range items {
		var best Label
		for _, m := range selector(&items[i]).Matchers() {
			l := Label{Name: m.Name, Value: m.Value}
			if m.exact() && (best.Name == "" || count[l] < count[best]) {
				best = l
			}
		}
		if best.Name == "" {
			g.rest = append(g.rest, items[i])
		} else {
			g.byPair[best] = append(g.byPair[best], items[i])
		}
	}
	return g
}

// exact reports whether a series that the matcher selects must have that very label.
func (m Matcher) exact() bool { return m.Type == MatchEqual && m.Value != "" && m.Name != "__name__" }

// Candidates calls each with the items whose selectors may match the labels: all that do are among them, none twice.
func (x *SelectorIndex[T]) Candidates(ls Labels, each func(*T)) {
	x.byName[ls.Get("__name__")].candidates(ls, each)
	x.byName[""].candidates(ls, each)
}

func (g *selectorGroup[T]) candidates(ls Labels, each func(*T)) {
	if g == nil {
		return
	}
	for i := range g.rest {
		each(&g.rest[i])
	}
	for _, l := range ls {
		items := g.byPair[l]
		for i := range items {
			each(&items[i])
		}
	}
}
