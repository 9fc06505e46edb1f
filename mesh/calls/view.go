package calls

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/inventory"
)

// Figures are what people look at: golden signals over a span of time.
type Figures struct {
	Requests        uint64   `json:"requests"`
	RPS             float64  `json:"rps"`
	Failed          uint64   `json:"failed"`
	ErrorRatio      *float64 `json:"errorRatio"`         // null where there were no requests
	P99Ms           *float64 `json:"p99Ms"`              // 99 of 100 took at most this long; null where that is not known, or where it is above every bound
	P99Above        *float64 `json:"p99Above,omitempty"` // and then above this
	MutualTLS       uint64   `json:"mutualTLS"`          // requests with mutual TLS
	Plaintext       uint64   `json:"plaintext"`          // requests without encryption; of the rest it is not known
	MutualTLSRatio  *float64 `json:"mutualTLSRatio"`     // of those of which it is known; null where it is known of none
	DurationSeconds float64  `json:"durationSeconds"`    // that the figures are about
}

// Figures returns the golden signals of counts over so many seconds.
func (c *Counts) Figures(seconds float64) Figures {
	f := Figures{Requests: c.Requests, Failed: c.Failed, MutualTLS: c.Mutual, Plaintext: c.Plain, DurationSeconds: seconds}
	if seconds > 0 {
		f.RPS = float64(c.Requests) / seconds
	}
	if c.Requests > 0 {
		f.ErrorRatio = ratio(min(c.Failed, c.Requests), c.Requests)
	}
	if known := c.Mutual + c.Plain; known > 0 {
		f.MutualTLSRatio = ratio(c.Mutual, known)
	}
	bounds := Bounds()
	all := c.Latency[len(bounds)]
	if all == 0 {
		return f
	}
	need := uint64(math.Ceil(float64(all) * 0.99))
	for i, b := range bounds {
		if c.Latency[i] >= need {
			f.P99Ms = &b
			return f
		}
	}
	f.P99Above = &bounds[len(bounds)-1]
	return f
}

func ratio(a, b uint64) *float64 {
	r := float64(a) / float64(b)
	return &r
}

// An EndView is one end of a call.
type EndView struct {
	GlobalNamespace string `json:"globalNamespace"` // "" of one of which nothing is known
	Cluster         string `json:"cluster"`
	Namespace       string `json:"namespace"`
	Service         string `json:"service"`           // "unknown" of one of which nothing is known
	Version         string `json:"version,omitempty"` // in pictures of versions
	Other           bool   `json:"other"`             // it belongs to another global namespace than the viewer may see: nothing is said of it
}

// A VersionView is what calls from one version of the caller to one of the called service had. What is not known is "".
type VersionView struct {
	Caller string `json:"caller"`
	Name   string `json:"name"` // of the called service
	Figures
}

// A CallView is an edge.
type CallView struct {
	Source      EndView       `json:"source"`
	Destination EndView       `json:"destination"`
	Seen        string        `json:"seen"` // who reports it: destination, source or traces
	Principal   string        `json:"principal,omitempty"`
	Versions    []VersionView `json:"versions"`
	First       string        `json:"firstSeen"`
	Last        string        `json:"lastSeen"`
	Figures

	Counts Counts `json:"-"`
	Stamp  string `json:"-"` // global namespace that its reporter is bound to
}

// CountsFor reports whether the call may show in the picture of a global namespace: what a reporter that is bound to one says of another is for its own
// picture alone.
func (v *CallView) CountsFor(globalNamespace string) bool {
	return v.Stamp == "" || v.Stamp == globalNamespace
}

// Now returns the time of the last record that the stage took.
func (s *Stage) Now() bus.Time { return s.now }

// Over reports whether an edge was left out within the last hour, because of a bound here or at the gate.
func (s *Stage) Over() bool { return s.over }

// Seconds returns how long the figures of a span are about: less than the span where the engine has not watched that long, and the minute that is
// under way is not whole.
func (s *Stage) Seconds(span bus.Time) float64 {
	from := max(bus.Time(s.first(span))*bus.Minute, s.since)
	return max(float64(s.now-from)/1000, 1)
}

// first returns the first minute of a span.
func (s *Stage) first(span bus.Time) uint32 {
	return minuteOf(s.now) - uint32(min(span, Kept)/bus.Minute) + 1
}

// Calls returns the edges on which there was something in the last span of time, by global namespace and name of their ends.
func (s *Stage) Calls(span bus.Time) []CallView {
	first, seconds := s.first(span), s.Seconds(span)
	out := make([]CallView, 0, len(s.calls))
	for _, k := range slices.SortedFunc(maps.Keys(s.calls), key.compare) {
		c := s.calls[k]
		side, ok := c.sideSince(first)
		if !ok {
			continue
		}
		v := CallView{Seen: side.String(), Principal: c.principal, First: c.first.String(), Last: c.last.String(), Stamp: k.stamp, Versions: []VersionView{}}
		v.Source, v.Destination = s.ends(k, side)
		for _, name := range slices.SortedFunc(maps.Keys(c.versions), versions.compare) {
			var n Counts
			if c.versions[name][side].sum(first, &n) {
				v.Versions = append(v.Versions, VersionView{name.caller, name.called, n.Figures(seconds)})
				v.Counts.Add(&n)
			}
		}
		v.Figures = v.Counts.Figures(seconds)
		out = append(out, v)
	}
	slices.SortStableFunc(out, func(a, b CallView) int {
		return cmp.Or(a.Source.compare(&b.Source), a.Destination.compare(&b.Destination))
	})
	return out
}

func (e *EndView) compare(o *EndView) int {
	return cmp.Or(strings.Compare(e.GlobalNamespace, o.GlobalNamespace), strings.Compare(e.Service, o.Service), strings.Compare(e.Namespace, o.Namespace), strings.Compare(e.Cluster, o.Cluster))
}

// sideSince returns the best side that has something from a minute on.
func (c *call) sideSince(first uint32) (Side, bool) {
	for i := range sides {
		for _, rings := range c.versions {
			if r := rings[i]; len(r) > 0 && r[len(r)-1].minute >= first {
				return i, true
			}
		}
	}
	return 0, false
}

// ends says who the ends of a call are. Of the end that a bound sender speaks for, its identity says the global namespace; of every other the inventory, and
// where that does not know it, the sender's again: the call is in no other's picture.
func (s *Stage) ends(k key, side Side) (src, dst EndView) {
	src, srcKnown := s.end(k.source)
	dst, dstKnown := s.end(k.destination)
	if k.stamp != "" {
		if (side != SideDestination || !srcKnown) && src.Service != Unknown {
			src.GlobalNamespace = k.stamp
		}
		if (side != SideSource || !dstKnown) && dst.Service != Unknown {
			dst.GlobalNamespace = k.stamp
		}
	}
	return src, dst
}

// end looks a service up in the inventory, and reports whether that knows it. A cluster that the inventory does not know (Istio's default is "Kubernetes") and what is "" match any; where
// the matches are not of one global namespace, it is in none.
func (s *Stage) end(e End) (v EndView, known bool) {
	v = EndView{Cluster: e.Cluster, Namespace: e.Namespace, Service: e.Service}
	if e.Service == Unknown {
		return v, false
	}
	at := s.homes[e.Service]
	if home, ok := at[place{e.Cluster, e.Namespace}]; ok {
		v.GlobalNamespace = home
		return v, true
	}
	v.GlobalNamespace = inventory.DefaultGlobalNamespace
	var found []place
	homes := map[string]bool{}
	for p, home := range at {
		if (e.Namespace == "" || e.Namespace == p.namespace) && (p.cluster == e.Cluster || !s.clusterOf(at, e.Cluster)) {
			found = append(found, p)
			homes[home] = true
		}
	}
	if len(homes) != 1 {
		return v, len(homes) > 1
	}
	v.GlobalNamespace = at[found[0]]
	if len(found) == 1 {
		v.Cluster, v.Namespace = found[0].cluster, found[0].namespace
	}
	return v, true
}

// clusterOf reports whether a service is known in a cluster.
func (s *Stage) clusterOf(at map[place]string, cluster string) bool {
	for p := range at {
		if p.cluster == cluster {
			return cluster != ""
		}
	}
	return false
}
