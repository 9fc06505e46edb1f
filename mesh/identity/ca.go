// Package identity is the certificate authority of global namespaces.
//
// Each global namespace has a [CA] of its own, with a trust domain of its own (mesh/spiffe). A signer stands above; under it each cluster has one CA, so that
// a cluster's key lets nobody sign for another global namespace, and a cluster can be given up alone:
//
//	SelfSigned   root = signer (path length 1) ── cluster CA (0) ── leaf
//	PreExisting  the user's root ── … ── signer (1) ── cluster CA (0) ── leaf
//
// Signers and cluster CAs carry a name constraint on URIs, critical as RFC 5280 asks: whoever has got a cluster's key cannot sign for a trust domain
// that is not this one or under it. Go and OpenSSL hold to it (test/identity); Envoy's BoringSSL has the same code as OpenSSL and was not tried.
//
// What is to be renewed when is decided by [Rotate], a pure function of the [State]; [CA.Do] does one step of it. Time is passed in. Keys are made and held by
// [Keys], are never part of an error or of what is printed, and leave only as the cacerts secret that Istio asks for.
package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"time"

	"evenkeel.dev/mesh/spiffe"
	"evenkeel.dev/mesh/trust"
)

// Config is what a [CA] is made with.
type Config struct {
	TrustDomain spiffe.TrustDomain
	Keys        Keys
	Lives       Lives
	// Parent is the user's CA, of a global namespace whose CA is PreExisting: the certificate that signs first, then those above it, the root last. Nil is
	// SelfSigned.
	Parent []*x509.Certificate
	// ParentKey signs for Parent. Where it is nil somebody signs by hand what [CA.Request] asks for.
	ParentKey crypto.Signer
}

// A CA is the certificate authority of one global namespace. Use it from one goroutine at a time.
type CA struct {
	cfg       Config
	sequence  uint64 // of the bundle
	clusters  []string
	confirmed map[string]uint64
	held      []held
	pending   string // name of the key that a request waits for
}

// held is an authority with its certificate.
type held struct {
	Authority
	cert   *x509.Certificate
	above  []*x509.Certificate // of a signer: the CAs between it and the anchor
	anchor *x509.Certificate   // of a signer
	key    string
}

// New returns a CA that has nothing yet: [Rotate] says what to do first.
func New(c Config) (*CA, error) {
	c.Lives = c.Lives.withDefaults()
	l := &c.Lives
	switch {
	case c.TrustDomain == spiffe.TrustDomain{}:
		return nil, fmt.Errorf("identity: a CA needs a trust domain")
	case c.Keys == nil:
		return nil, fmt.Errorf("identity: a CA needs keys")
	case l.Leaf < time.Minute || l.Leaf > LeafMax:
		return nil, fmt.Errorf("identity: leaves of %s are not issued; from 1m to %s are", l.Leaf, LeafMax)
	case l.Cluster < 4*l.Leaf || l.Signer < 2*l.Cluster:
		return nil, fmt.Errorf("identity: a cluster's CA must live four times as long as a leaf (%s), and a signer twice as long as that (%s)", l.Leaf, l.Cluster)
	case l.Overlap <= 0 || l.Overlap > l.Signer/8:
		return nil, fmt.Errorf("identity: an overlap of %s does not fit into the life of a signer, %s", l.Overlap, l.Signer)
	}
	for i, p := range c.Parent {
		if !p.IsCA || p.KeyUsage&x509.KeyUsageCertSign == 0 {
			return nil, fmt.Errorf("identity: certificate %d of the parent is no CA's", i)
		}
	}
	return &CA{cfg: c}, nil
}

// Format keeps keys out of whatever is printed.
func (c *CA) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "CA of %s", c.cfg.TrustDomain) }

// State returns what [Rotate] and [Findings] decide by.
func (c *CA) State() State {
	s := State{TrustDomain: c.cfg.TrustDomain.String(), Clusters: slices.Clone(c.clusters)}
	for i := range c.held {
		s.Authorities = append(s.Authorities, c.held[i].Authority)
	}
	if c.confirmed != nil {
		s.Confirmed = map[string]uint64{}
		for k, v := range c.confirmed {
			s.Confirmed[k] = v
		}
	}
	return s
}

// SetClusters says which clusters are of the global namespace.
func (c *CA) SetClusters(names ...string) {
	c.clusters = slices.Compact(slices.Sorted(slices.Values(names)))
}

// Confirm notes which bundle a cluster believes. After the first call a new signer is used only when all clusters believe it.
func (c *CA) Confirm(cluster string, sequence uint64) {
	if c.confirmed == nil {
		c.confirmed = map[string]uint64{}
	}
	c.confirmed[cluster] = max(c.confirmed[cluster], sequence)
}

// Do does one step. Save [CA.Snapshot] after it, before anything is given away that it made.
func (c *CA) Do(s Step, now time.Time) error {
	switch s.Kind {
	case StepAddSigner:
		return c.addSigner(now)
	case StepUseSigner:
		return c.useSigner(s.ID, now)
	case StepIssueCluster:
		return c.issueCluster(s.Cluster, now)
	case StepDropCluster, StepDropSigner:
		return c.drop(s.ID)
	}
	return fmt.Errorf("identity: unknown step %q", s.Kind)
}

// authority returns the template of a CA's certificate.
func (c *CA) authority(name string, pathLen int, now time.Time, life time.Duration) (*x509.Certificate, error) {
	t, err := template(now, life)
	if err != nil {
		return nil, err
	}
	u, err := uri(c.cfg.TrustDomain.ID())
	if err != nil {
		return nil, err
	}
	t.Subject = pkix.Name{Organization: []string{"evenkeel"}, CommonName: name}
	t.URIs = []*url.URL{u}
	t.IsCA, t.MaxPathLen, t.MaxPathLenZero = true, pathLen, pathLen == 0
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	t.PermittedURIDomains, t.PermittedDNSDomainsCritical = []string{c.cfg.TrustDomain.String()}, true // the flag is for all constraints
	return t, nil
}

// commonNameMax is the bound of RFC 5280.
const commonNameMax = 64

func commonName(name string) string { return name[:min(len(name), commonNameMax)] }

func (c *CA) makeKey(what string) (string, crypto.Signer, error) {
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return "", nil, fmt.Errorf("identity: %w", err)
	}
	name := what + "-" + hex.EncodeToString(random)
	key, err := c.cfg.Keys.Make(name)
	return name, key, err
}

func (c *CA) addSigner(now time.Time) error {
	if len(c.cfg.Parent) > 0 && c.cfg.ParentKey == nil {
		return c.ask()
	}
	name, key, err := c.makeKey("signer")
	if err != nil {
		return err
	}
	t, err := c.authority(commonName(c.cfg.TrustDomain.String()), 1, now, c.cfg.Lives.Signer)
	if err != nil {
		return err
	}
	issuer, signer, above := t, key, c.cfg.Parent
	if len(above) > 0 {
		issuer, signer = above[0], c.cfg.ParentKey
		if t.NotAfter.After(issuer.NotAfter) {
			t.NotAfter = issuer.NotAfter
		}
	}
	cert, err := sign(t, issuer, key.Public(), signer)
	if err != nil {
		return err
	}
	return c.takeSigner(cert, above, name, now)
}

// takeSigner holds a signer that is not used yet.
func (c *CA) takeSigner(cert *x509.Certificate, above []*x509.Certificate, key string, now time.Time) error {
	h := held{cert: cert, anchor: cert, key: key}
	if n := len(above); n > 0 {
		h.above, h.anchor = above[:n-1], above[n-1]
	}
	if err := c.try(&h, now); err != nil {
		return err
	}
	before := c.Bundle()
	h.Authority = Authority{ID: trust.Fingerprint(cert), Role: RoleNext, Since: now, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, Sequence: c.sequence}
	if h.anchor.NotAfter.Before(h.NotAfter) {
		h.NotAfter = h.anchor.NotAfter
	}
	if !slices.ContainsFunc(before.Anchors, h.anchor.Equal) {
		c.sequence++
		h.Sequence = c.sequence
	}
	c.held = append(c.held, h)
	return nil
}

// try signs a leaf and verifies it, so that a signer whose leaves nobody would believe is not taken: a name constraint above it may forbid the trust domain.
func (c *CA) try(h *held, now time.Time) error {
	key, err := c.cfg.Keys.Open(h.key)
	if err != nil {
		return err
	}
	id, err := c.cfg.TrustDomain.Workload("trial", "trial")
	if err != nil {
		return err
	}
	leaf, err := issueLeaf(h.cert, key, id, key.Public(), now, time.Minute)
	if err != nil {
		return err
	}
	believed, _ := trust.Trust{}.Merge(trust.NewBundle(c.cfg.TrustDomain, 1, 0, h.anchor), c.cfg.TrustDomain)
	if _, err := believed.Verify(append([]*x509.Certificate{leaf, h.cert}, h.above...), now); err != nil {
		return fmt.Errorf("identity: what the signer signs would not be believed: %w", err)
	}
	return nil
}

func (c *CA) useSigner(id string, now time.Time) error {
	next := c.byID(id)
	if next == nil || next.Cluster != "" || next.Role != RoleNext {
		return fmt.Errorf("identity: there is no signer %s to use", id)
	}
	for i := range c.held {
		if h := &c.held[i]; h.Cluster == "" && h.Role == RoleActive {
			h.Role, h.Since = RoleOld, now
		}
	}
	next.Role, next.Since = RoleActive, now
	return nil
}

func (c *CA) issueCluster(cluster string, now time.Time) error {
	signer := c.active("")
	if signer == nil || !slices.Contains(c.clusters, cluster) {
		return fmt.Errorf("identity: no CA can be issued for cluster %q: it is none of the global namespace's, or there is no signer", cluster)
	}
	above, err := c.cfg.Keys.Open(signer.key)
	if err != nil {
		return err
	}
	name, key, err := c.makeKey("cluster")
	if err != nil {
		return err
	}
	t, err := c.authority(commonName(cluster+"."+c.cfg.TrustDomain.String()), 0, now, c.cfg.Lives.Cluster)
	if err != nil {
		return err
	}
	if t.NotAfter.After(signer.NotAfter) {
		t.NotAfter = signer.NotAfter
	}
	cert, err := sign(t, signer.cert, key.Public(), above)
	if err != nil {
		return err
	}
	if old := c.active(cluster); old != nil {
		old.Role, old.Since = RoleOld, now
	}
	c.held = append(c.held, held{cert: cert, key: name, Authority: Authority{
		ID: trust.Fingerprint(cert), Cluster: cluster, Parent: signer.ID, Role: RoleActive, Since: now, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
	}})
	return nil
}

func (c *CA) drop(id string) error {
	h := c.byID(id)
	if h == nil {
		return nil
	}
	if h.Role == RoleActive && slices.Contains(c.clusters, h.Cluster) || h.Cluster == "" && h.Role != RoleOld {
		return fmt.Errorf("identity: %s is in use", id)
	}
	key, before := h.key, len(c.Bundle().Anchors)
	c.held = slices.DeleteFunc(c.held, func(h held) bool { return h.ID == id })
	if len(c.Bundle().Anchors) != before {
		c.sequence++
	}
	return c.cfg.Keys.Remove(key)
}

func (c *CA) byID(id string) *held {
	i := slices.IndexFunc(c.held, func(h held) bool { return h.ID == id })
	if i < 0 {
		return nil
	}
	return &c.held[i]
}

// active returns the CA that signs for a cluster, "" being the signer, or nil.
func (c *CA) active(cluster string) *held {
	i := slices.IndexFunc(c.held, func(h held) bool { return h.Cluster == cluster && h.Role == RoleActive })
	if i < 0 {
		return nil
	}
	return &c.held[i]
}

// Bundle returns what the certificates of the global namespace are verified with: the anchors of all signers that are held. Its sequence rises when one comes or goes.
func (c *CA) Bundle() trust.Bundle {
	var anchors []*x509.Certificate
	for i := range c.held {
		if a := c.held[i].anchor; a != nil {
			anchors = append(anchors, a)
		}
	}
	return trust.NewBundle(c.cfg.TrustDomain, c.sequence, c.cfg.Lives.Overlap/8, anchors...)
}

// chain returns a cluster's CA and all above it, without the anchor.
func (c *CA) chain(own *held) []*x509.Certificate {
	out := []*x509.Certificate{own.cert}
	if signer := c.byID(own.Parent); signer != nil && !signer.cert.Equal(signer.anchor) {
		out = append(append(out, signer.cert), signer.above...)
	}
	return out
}

// Issue signs a leaf for a workload of a cluster, with a key that the workload keeps; a life of 0 is that of [Lives]. It returns the leaf and what stands
// between it and the anchor. The caller has made sure that who asks is who the id says.
func (c *CA) Issue(cluster string, id spiffe.ID, public crypto.PublicKey, now time.Time, life time.Duration) ([]*x509.Certificate, error) {
	own := c.active(cluster)
	_, _, workload := id.Workload()
	switch {
	case cluster == "" || own == nil:
		return nil, fmt.Errorf("identity: issue %s: cluster %q has no CA", id, cluster)
	case id.TrustDomain() != c.cfg.TrustDomain:
		return nil, fmt.Errorf("identity: issue %s: this is the CA of %s", id, c.cfg.TrustDomain)
	case !workload:
		return nil, fmt.Errorf("identity: issue %s: it is no workload's id", id)
	case life == 0:
		life = c.cfg.Lives.Leaf
	}
	if life < time.Minute || life > c.cfg.Lives.Leaf { // rotation counts on it that none lives longer
		return nil, fmt.Errorf("identity: issue %s: a life of %s is not within 1m and %s", id, life, c.cfg.Lives.Leaf)
	}
	key, err := c.cfg.Keys.Open(own.key)
	if err != nil {
		return nil, err
	}
	leaf, err := issueLeaf(own.cert, key, id, public, now, life)
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{leaf}, c.chain(own)...), nil
}

// IssueRequest is Issue by a certificate request (PKCS #10, DER), which asks for the id or for none.
func (c *CA) IssueRequest(cluster string, id spiffe.ID, request []byte, now time.Time, life time.Duration) ([]*x509.Certificate, error) {
	key, err := requestKey(request, id)
	if err != nil {
		return nil, err
	}
	return c.Issue(cluster, id, key, now, life)
}

// Cacerts returns the data of the secret istio-system/cacerts, by which a cluster's istiod signs for the global namespace. It holds a private key. A key that
// its [Keys] does not show, as in a KMS, is an error.
func (c *CA) Cacerts(cluster string) (map[string][]byte, error) {
	own := c.active(cluster)
	if cluster == "" || own == nil {
		return nil, fmt.Errorf("identity: cluster %q has no CA", cluster)
	}
	signer, err := c.cfg.Keys.Open(own.key)
	if err != nil {
		return nil, err
	}
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("identity: the key of the CA of cluster %s does not leave where it is held, and Istio's secret needs it", cluster)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("identity: the key of the CA of cluster %s cannot be written", cluster)
	}
	return map[string][]byte{
		"ca-cert.pem": trust.PEM(own.cert), "cert-chain.pem": trust.PEM(c.chain(own)...), "root-cert.pem": c.Bundle().PEM(),
		"ca-key.pem": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
	}, nil
}

// sameKey reports whether a certificate is of a key.
func sameKey(cert *x509.Certificate, key crypto.Signer) bool {
	a, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	b, other := x509.MarshalPKIXPublicKey(key.Public())
	return err == nil && other == nil && bytes.Equal(a, b)
}
