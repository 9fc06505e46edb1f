package trust

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"evenkeel.dev/mesh/spiffe"
)

// Reasons of [Trust.Merge].
const (
	ReasonTaken       = "Taken"       // the bundle is newer, or of a new trust domain
	ReasonSame        = "Same"        // it is known
	ReasonOlder       = "Older"       // its sequence is lower: refused, so that nobody brings back what was taken out
	ReasonConflict    = "Conflict"    // the same sequence with other anchors: refused; two have signed for one trust domain
	ReasonForeign     = "Foreign"     // who sent it does not speak for the trust domain: refused
	ReasonAllRevoked  = "AllRevoked"  // nothing would be left of it: refused
	ReasonTooManyEach = "TooManyEach" // over the bound of trust domains: refused
)

// MaxDomains bounds the trust domains that one [Trust] holds.
const MaxDomains = 1000

// A Trust is what a cluster or hub believes: a bundle per trust domain, and what is believed no more. It is a value: methods return a new one.
type Trust struct {
	Bundles []Bundle     // by trust domain
	Revoked []Revocation // by fingerprint
}

// A Revocation takes an anchor, or a CA under one, out for good, whatever sequence brings it again. What it has signed is refused from then on, in
// new connections; to those that stand nothing happens. Envoy and Istio know no such list: there an anchor that is revoked goes by being no more in
// the bundle, and a CA under one only by its expiry.
type Revocation struct {
	Fingerprint string    `json:"fingerprint"`
	At          time.Time `json:"at"`
	Reason      string    `json:"reason"` // for people
}

// Of returns the bundle of a trust domain, without what is revoked.
func (t Trust) Of(domain spiffe.TrustDomain) (Bundle, bool) {
	i, ok := t.find(domain)
	if !ok {
		return Bundle{}, false
	}
	return t.without(t.Bundles[i]), true
}

func (t Trust) find(domain spiffe.TrustDomain) (int, bool) {
	return slices.BinarySearchFunc(t.Bundles, domain, func(b Bundle, d spiffe.TrustDomain) int { return strings.Compare(b.TrustDomain.String(), d.String()) })
}

func (t Trust) without(b Bundle) Bundle {
	b.Anchors = slices.DeleteFunc(slices.Clone(b.Anchors), func(c *x509.Certificate) bool { return t.revoked(Fingerprint(c)) })
	return b
}

func (t Trust) revoked(fingerprint string) bool {
	return slices.ContainsFunc(t.Revoked, func(r Revocation) bool { return r.Fingerprint == fingerprint })
}

// Merge takes in a bundle that came from somebody who may speak for the trust domains of speaks. Whether it was taken, and why not, the reason
// says. The order in which bundles come makes no difference to what is believed in the end, but for a Conflict, where the first stays.
func (t Trust) Merge(b Bundle, speaks ...spiffe.TrustDomain) (Trust, string) {
	i, known := t.find(b.TrustDomain)
	switch {
	case !slices.Contains(speaks, b.TrustDomain):
		return t, ReasonForeign
	case len(t.without(b).Anchors) == 0:
		return t, ReasonAllRevoked
	case !known && len(t.Bundles) >= MaxDomains:
		return t, ReasonTooManyEach
	case !known:
		return Trust{Bundles: slices.Insert(slices.Clone(t.Bundles), i, b), Revoked: t.Revoked}, ReasonTaken
	case b.Sequence < t.Bundles[i].Sequence:
		return t, ReasonOlder
	case b.Sequence == t.Bundles[i].Sequence && same(b, t.Bundles[i]):
		return t, ReasonSame
	case b.Sequence == t.Bundles[i].Sequence:
		return t, ReasonConflict
	}
	out := slices.Clone(t.Bundles)
	out[i] = b
	return Trust{Bundles: out, Revoked: t.Revoked}, ReasonTaken
}

func same(a, b Bundle) bool {
	return slices.EqualFunc(a.Anchors, b.Anchors, func(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) })
}

// Revoke joins revocations; of one that is known the earlier stays. They are exchanged as bundles are, and any side may add to them.
func (t Trust) Revoke(rs ...Revocation) Trust {
	out := Trust{Bundles: t.Bundles, Revoked: append(slices.Clone(t.Revoked), rs...)}
	slices.SortFunc(out.Revoked, func(a, b Revocation) int {
		if c := strings.Compare(a.Fingerprint, b.Fingerprint); c != 0 {
			return c
		}
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Reason, b.Reason)
	})
	out.Revoked = slices.CompactFunc(out.Revoked, func(a, b Revocation) bool { return a.Fingerprint == b.Fingerprint })
	return out
}

// Forget drops a trust domain, of a global namespace that is no more.
func (t Trust) Forget(domain spiffe.TrustDomain) Trust {
	i, ok := t.find(domain)
	if !ok {
		return t
	}
	return Trust{Bundles: slices.Delete(slices.Clone(t.Bundles), i, i+1), Revoked: t.Revoked}
}

// Verify returns who the holder of a chain is, the leaf being first: one whose certificate has one SPIFFE id with a path and was signed, at that time,
// under an anchor of the trust domain that the id is of. Who may be called or calls is not decided here: compare the id, or its trust domain.
func (t Trust) Verify(chain []*x509.Certificate, now time.Time) (spiffe.ID, error) {
	if len(chain) == 0 {
		return spiffe.ID{}, fmt.Errorf("trust: there is no certificate")
	}
	leaf := chain[0]
	id, err := holder(leaf)
	if err != nil {
		return spiffe.ID{}, err
	}
	b, ok := t.Of(id.TrustDomain())
	if !ok {
		return spiffe.ID{}, fmt.Errorf("trust: %s: its trust domain is not known here", id)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range b.Anchors {
		roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		if !t.revoked(Fingerprint(c)) {
			between.AddCert(c)
		}
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return spiffe.ID{}, fmt.Errorf("trust: %s: %w", id, err)
	}
	return id, nil
}

// holder returns the id of a leaf (X.509-SVID, sections 2 to 5).
func holder(leaf *x509.Certificate) (spiffe.ID, error) {
	switch {
	case len(leaf.URIs) != 1:
		return spiffe.ID{}, fmt.Errorf("trust: the certificate has %d URIs; an identity has one", len(leaf.URIs))
	case leaf.IsCA:
		return spiffe.ID{}, fmt.Errorf("trust: the certificate is a CA's and no workload's")
	case leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return spiffe.ID{}, fmt.Errorf("trust: the certificate may sign others and is no workload's")
	}
	id, err := spiffe.ParseID(leaf.URIs[0].String())
	if err == nil && id == id.TrustDomain().ID() {
		err = fmt.Errorf("trust: the id %s has no path and is no workload's", id)
	}
	return id, err
}
