package identity

import (
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

// Roles of an [Authority].
const (
	RoleNext   = "Next"   // its anchor is in the bundle, it signs nothing yet
	RoleActive = "Active" // it signs
	RoleOld    = "Old"    // it signs no more; what it has signed is still believed
)

// An Authority is a CA without its key. One without Cluster signs those of clusters; it is a root of its own (SelfSigned) or stands under one of the user's
// (PreExisting).
type Authority struct {
	ID        string    `json:"id"` // fingerprint of its certificate
	Cluster   string    `json:"cluster,omitempty"`
	Parent    string    `json:"parent,omitempty"` // id of the Authority that signed it; of a cluster's
	Role      string    `json:"role"`
	Since     time.Time `json:"since"` // of the role
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	Sequence  uint64    `json:"sequence,omitempty"` // of the first bundle that holds its anchor
}

// A State is what the CA of a global namespace consists of: what rotation is decided by.
type State struct {
	TrustDomain string      `json:"trustDomain"`
	Clusters    []string    `json:"clusters"` // that shall have a CA
	Authorities []Authority `json:"authorities"`
	// Confirmed is the sequence of the bundle that each cluster believes by now, where somebody asks them; nil where nobody does: then time alone
	// decides when a new signer may be used.
	Confirmed map[string]uint64 `json:"confirmed,omitempty"`
}

// Lives are how long certificates live, and how long a new anchor is known before it signs.
type Lives struct {
	Signer  time.Duration // 5 years
	Cluster time.Duration // 1 year; at least four times that of a leaf
	Leaf    time.Duration // 24 h, at most 90 days: of those that are issued, and by cluster CAs elsewhere (Istio's)
	Overlap time.Duration // 24 h
}

const day = 24 * time.Hour

// LeafMax is the longest life of a leaf.
const LeafMax = 90 * day

// withDefaults fills in what is not said.
func (l Lives) withDefaults() Lives {
	fill := func(d *time.Duration, by time.Duration) {
		if *d == 0 {
			*d = by
		}
	}
	fill(&l.Signer, 5*365*day)
	fill(&l.Cluster, 365*day)
	fill(&l.Leaf, day)
	fill(&l.Overlap, day)
	return l
}

// Kinds of a [Step].
const (
	StepAddSigner    = "AddSigner"    // make a signer; its anchor joins the bundle
	StepUseSigner    = "UseSigner"    // from now on it signs, and the one before no more
	StepIssueCluster = "IssueCluster" // give a cluster a new CA
	StepDropCluster  = "DropCluster"  // forget a cluster's CA that nothing valid is left of
	StepDropSigner   = "DropSigner"   // take a signer away, and its anchor out of the bundle
)

// A Step is one act of a rotation. Each alone leaves everything verifiable that was; they may be done late, and again from a new [State].
type Step struct {
	Kind    string `json:"kind"`
	ID      string `json:"id,omitempty"` // of the Authority; of AddSigner and IssueCluster it comes to be by the step
	Cluster string `json:"cluster,omitempty"`
	Reason  string `json:"reason"`
}

// Reasons of a [Step] and of a [Finding].
const (
	ReasonMissing       = "Missing"       // there is none
	ReasonHalfLife      = "HalfLife"      // more than half of its life is over
	ReasonDistributed   = "Distributed"   // its anchor is known for long enough, and by all clusters that are asked
	ReasonPressing      = "Pressing"      // not all clusters know it, but the one before ends soon
	ReasonSignerChanged = "SignerChanged" // another signer is active
	ReasonSpent         = "Spent"         // nothing that it has signed is valid any more
	ReasonDetached      = "Detached"      // the cluster is no more of the global namespace
	ReasonExpiresSoon   = "ExpiresSoon"   // rotation should have renewed it
	ReasonExpired       = "Expired"
	ReasonUnconfirmed   = "Unconfirmed" // a cluster does not believe the next signer yet, which holds the rotation up
)

// Rotate says what may be done now, in order. The new anchor is in all bundles before anything is signed under it; cluster CAs come under the new signer
// one by one; the old anchor goes when the last leaf that stands on it has expired. It is decided by the state and the time alone, so that it may
// be called as often as one likes.
func Rotate(s State, l Lives, now time.Time) []Step {
	l = l.withDefaults()
	var out []Step
	active, next := s.signer(RoleActive), s.signer(RoleNext)
	switch {
	case active == nil && next == nil:
		return []Step{{Kind: StepAddSigner, Reason: ReasonMissing}}
	case active == nil:
		return []Step{{Kind: StepUseSigner, ID: next.ID, Reason: ReasonMissing}}
	case next == nil && !now.Before(half(active, 0)):
		out = append(out, Step{Kind: StepAddSigner, Reason: ReasonHalfLife})
	case next != nil:
		if reason := s.ready(active, next, l, now); reason != "" {
			out = append(out, Step{Kind: StepUseSigner, ID: next.ID, Reason: reason})
			active = next // and what follows is decided by it in the next call
			return out
		}
	}
	for _, c := range s.Clusters {
		if reason := s.clusterNeeds(c, active, now); reason != "" {
			out = append(out, Step{Kind: StepIssueCluster, Cluster: c, Reason: reason})
		}
	}
	return append(out, s.drops(l, now)...)
}

func (s *State) signer(role string) *Authority {
	return s.find(func(a *Authority) bool { return a.Cluster == "" && a.Role == role })
}

func (s *State) find(is func(*Authority) bool) *Authority {
	for i := range s.Authorities {
		if is(&s.Authorities[i]) {
			return &s.Authorities[i]
		}
	}
	return nil
}

// ready says why the next signer may be used, or "".
func (s *State) ready(active, next *Authority, l Lives, now time.Time) string {
	switch {
	case now.Sub(next.Since) < l.Overlap && now.Before(active.NotAfter):
		return ""
	case len(s.unconfirmed(next)) == 0:
		return ReasonDistributed
	case active.NotAfter.Sub(now) < active.NotAfter.Sub(active.NotBefore)/8:
		return ReasonPressing
	}
	return ""
}

// unconfirmed lists the clusters that are asked and do not believe an anchor yet.
func (s *State) unconfirmed(a *Authority) []string {
	var out []string
	for _, c := range s.Clusters {
		if s.Confirmed != nil && s.Confirmed[c] < a.Sequence {
			out = append(out, c)
		}
	}
	return out
}

// clusterNeeds says why a cluster needs a new CA, or "".
func (s *State) clusterNeeds(cluster string, signer *Authority, now time.Time) string {
	own := s.find(func(a *Authority) bool { return a.Cluster == cluster && a.Role == RoleActive })
	switch {
	case own == nil:
		return ReasonMissing
	case own.Parent != signer.ID:
		return ReasonSignerChanged
	case !now.Before(half(own, jitter(s.TrustDomain+"/"+cluster+"/"+own.ID))):
		return ReasonHalfLife
	}
	return ""
}

// drops lists what nothing valid stands on any more.
func (s *State) drops(l Lives, now time.Time) []Step {
	var out []Step
	kept := map[string]bool{} // signers that a CA of a cluster still stands on
	for i := range s.Authorities {
		a := &s.Authorities[i]
		if a.Cluster == "" {
			continue
		}
		spent := a.Role == RoleOld && now.Sub(a.Since) > l.Leaf+l.Overlap+skew || // a cluster may go on with its old one until it has got the new
			now.After(a.NotAfter)
		switch {
		case !slices.Contains(s.Clusters, a.Cluster):
			out = append(out, Step{StepDropCluster, a.ID, a.Cluster, ReasonDetached})
		case spent && a.Role == RoleOld:
			out = append(out, Step{StepDropCluster, a.ID, a.Cluster, ReasonSpent})
		default:
			kept[a.Parent] = true
		}
	}
	for i := range s.Authorities {
		a := &s.Authorities[i]
		if a.Cluster != "" || a.Role != RoleOld {
			continue
		}
		// What a detached cluster has signed is no more of this global namespace, and is believed until its signer's anchor goes.
		if !kept[a.ID] || now.After(a.NotAfter) {
			out = append(out, Step{Kind: StepDropSigner, ID: a.ID, Reason: ReasonSpent})
		}
	}
	return out
}

// half returns when half of a life is over, moved by a part of it.
func half(a *Authority, part float64) time.Time {
	life := a.NotAfter.Sub(a.NotBefore)
	return a.NotBefore.Add(life/2 + time.Duration(part*float64(life)))
}

// jitter returns a part from -0.05 up to 0.05, by a hash: what was made at one moment is not renewed at one moment.
func jitter(key string) float64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return (float64(mix(h.Sum64())>>11)/(1<<53) - 0.5) / 10
}

// mix spreads the bits of a hash (the finalizer of splitmix64): those of FNV's top depend little on the last letters.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// A Finding is what somebody should know before it hurts.
type Finding struct {
	Reason   string        `json:"reason"`
	Critical bool          `json:"critical"` // a tenth of the life is left, or less
	Cluster  string        `json:"cluster,omitempty"`
	ID       string        `json:"id"`
	NotAfter time.Time     `json:"notAfter"`
	Left     time.Duration `json:"left"`
	Waiting  []string      `json:"waiting,omitempty"` // clusters; of Unconfirmed
}

// Findings lists authorities that are not renewed as they should be: rotation renews at half of a life, so that less than a third says that it is stuck. Old ones
// are left out. Those that end first stand first.
func Findings(s State, l Lives, now time.Time) []Finding {
	l = l.withDefaults()
	var out []Finding
	for i := range s.Authorities {
		a := &s.Authorities[i]
		life, left := a.NotAfter.Sub(a.NotBefore), a.NotAfter.Sub(now)
		f := Finding{Cluster: a.Cluster, ID: a.ID, NotAfter: a.NotAfter, Left: left, Critical: left < life/10}
		switch {
		case a.Role == RoleOld:
			continue
		case left <= 0:
			f.Reason = ReasonExpired
		case left < life/3:
			f.Reason = ReasonExpiresSoon
		case a.Role == RoleNext && now.Sub(a.Since) > 2*l.Overlap && len(s.unconfirmed(a)) > 0:
			f.Reason, f.Waiting = ReasonUnconfirmed, s.unconfirmed(a)
		default:
			continue
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Finding) int {
		if c := a.NotAfter.Compare(b.NotAfter); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}
