package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"time"

	"evenkeel.dev/mesh/spiffe"
	"evenkeel.dev/mesh/trust"
)

// ErrWaiting says that a signer waits to be signed by hand: give [CA.Request] to who holds the user's CA, and what comes back to [CA.Admit].
var ErrWaiting = errors.New("identity: the signer waits to be signed by the user's CA")

// ask makes the key of a request, once.
func (c *CA) ask() error {
	if c.pending == "" {
		name, _, err := c.makeKey("signer")
		if err != nil {
			return err
		}
		c.pending = name
	}
	return ErrWaiting
}

// Request returns what the user's CA should sign, as PEM: a certificate request for a CA with this trust domain, path length 1. The answer must
// be a CA's certificate with the same key; a name constraint, where there is one, must let the trust domain through.
func (c *CA) Request() ([]byte, error) {
	if c.pending == "" {
		return nil, fmt.Errorf("identity: no signer waits to be signed")
	}
	key, err := c.cfg.Keys.Open(c.pending)
	if err != nil {
		return nil, err
	}
	u, err := uri(c.cfg.TrustDomain.ID())
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{Organization: []string{"evenkeel"}, CommonName: commonName(c.cfg.TrustDomain.String())}, URIs: []*url.URL{u},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("identity: request: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// Admit takes the certificate that the user's CA has signed, in PEM.
func (c *CA) Admit(certificate []byte, now time.Time) error {
	if c.pending == "" {
		return fmt.Errorf("identity: no signer waits to be signed")
	}
	block, _ := pem.Decode(certificate)
	if block == nil {
		return fmt.Errorf("identity: admit: there is no PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("identity: admit: %w", err)
	}
	key, err := c.cfg.Keys.Open(c.pending)
	if err != nil {
		return err
	}
	noPath := cert.MaxPathLen == 0 && cert.MaxPathLenZero
	switch {
	case !sameKey(cert, key):
		return fmt.Errorf("identity: admit: the certificate is of another key than was asked for")
	case !cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("identity: admit: the certificate is no CA's")
	case noPath:
		return fmt.Errorf("identity: admit: its path length is 0: the CAs of clusters would not be believed; 1 is needed")
	}
	if err := c.takeSigner(cert, c.cfg.Parent, c.pending, now); err != nil {
		return err
	}
	c.pending = ""
	return nil
}

// savedVersion is the version of what a snapshot holds.
const savedVersion = 1

type saved struct {
	Version     int               `json:"v"`
	TrustDomain string            `json:"trustDomain"`
	Sequence    uint64            `json:"sequence"`
	Clusters    []string          `json:"clusters,omitempty"`
	Confirmed   map[string]uint64 `json:"confirmed,omitempty"`
	Pending     string            `json:"pending,omitempty"`
	Held        []savedHeld       `json:"held,omitempty"`
}

type savedHeld struct {
	Authority
	Chain [][]byte `json:"chain"` // DER: its certificate; of a signer also those above, the anchor last
	Key   string   `json:"key"`   // its name in Keys
}

// Snapshot returns all of the CA but its keys.
func (c *CA) Snapshot() ([]byte, error) {
	s := saved{Version: savedVersion, TrustDomain: c.cfg.TrustDomain.String(), Sequence: c.sequence, Clusters: c.clusters, Confirmed: c.confirmed, Pending: c.pending}
	for i := range c.held {
		h := &c.held[i]
		chain := [][]byte{h.cert.Raw}
		for _, a := range h.above {
			chain = append(chain, a.Raw)
		}
		if h.anchor != nil && !h.anchor.Equal(h.cert) {
			chain = append(chain, h.anchor.Raw)
		}
		s.Held = append(s.Held, savedHeld{h.Authority, chain, h.key})
	}
	return json.Marshal(s)
}

// Load returns the CA that a snapshot holds.
func Load(cfg Config, snapshot []byte) (*CA, error) {
	c, err := New(cfg)
	if err != nil {
		return nil, err
	}
	var s saved
	if err := json.Unmarshal(snapshot, &s); err != nil {
		return nil, fmt.Errorf("identity: load: %w", err)
	}
	domain, err := spiffe.ParseTrustDomain(s.TrustDomain)
	switch {
	case s.Version != savedVersion:
		return nil, fmt.Errorf("identity: load: it has version %d; this program reads version %d", s.Version, savedVersion)
	case err != nil || domain != cfg.TrustDomain:
		return nil, fmt.Errorf("identity: load: it is the CA of %q and not of %s", s.TrustDomain, cfg.TrustDomain)
	}
	c.sequence, c.clusters, c.confirmed, c.pending = s.Sequence, s.Clusters, s.Confirmed, s.Pending
	for i := range s.Held {
		h, err := s.Held[i].load()
		if err != nil {
			return nil, fmt.Errorf("identity: load: %w", err)
		}
		c.held = append(c.held, h)
	}
	return c, nil
}

func (s *savedHeld) load() (held, error) {
	h := held{Authority: s.Authority, key: s.Key}
	chain, err := x509.ParseCertificates(bytes.Join(s.Chain, nil))
	if err != nil {
		return h, err
	}
	if len(chain) == 0 || trust.Fingerprint(chain[0]) != s.ID {
		return h, fmt.Errorf("the certificate of %s is missing or another", s.ID)
	}
	h.cert = chain[0]
	if h.Cluster == "" {
		h.anchor = chain[len(chain)-1]
		if len(chain) > 2 {
			h.above = chain[1 : len(chain)-1]
		}
	}
	return h, nil
}
