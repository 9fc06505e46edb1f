// Package trust knows whose certificates are believed: trust bundles of SPIFFE trust domains, how bundles of several clusters and hubs are
// joined, and who a chain of certificates is. It holds no keys and reads no clock.
//
// A [Bundle] travels as a SPIFFE bundle ("SPIFFE Trust Domain and Bundle", section 4: a JWK set whose keys have use x509-svid and one certificate
// in x5c, with spiffe_sequence and spiffe_refresh_hint) or as PEM. Reading is strict where it decides about trust: a certificate that is no CA, whose key is
// not the one beside it, or whose own SPIFFE id is of another trust domain makes the whole bundle unreadable. Keys of other uses are passed over, as
// the standard asks.
package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"evenkeel.dev/mesh/spiffe"
)

// Bounds of a bundle that is read.
const (
	MaxBundleBytes = 1 << 20
	MaxAnchors     = 64
)

// A Bundle is what a trust domain's certificates are verified with.
type Bundle struct {
	TrustDomain spiffe.TrustDomain
	Sequence    uint64              // rises with each change
	RefreshHint time.Duration       // how often to ask again; 0: nothing is said
	Anchors     []*x509.Certificate // by fingerprint
}

// NewBundle returns a bundle with its anchors in order, each once.
func NewBundle(domain spiffe.TrustDomain, sequence uint64, hint time.Duration, anchors ...*x509.Certificate) Bundle {
	b := Bundle{TrustDomain: domain, Sequence: sequence, RefreshHint: hint, Anchors: slices.Clone(anchors)}
	slices.SortFunc(b.Anchors, func(a, b *x509.Certificate) int { return strings.Compare(Fingerprint(a), Fingerprint(b)) })
	b.Anchors = slices.CompactFunc(b.Anchors, func(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) })
	return b
}

// Fingerprint returns the SHA-256 of a certificate in hexadecimal.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

type jwks struct {
	Keys        []jwk  `json:"keys"`
	Sequence    uint64 `json:"spiffe_sequence,omitempty"`
	RefreshHint int64  `json:"spiffe_refresh_hint,omitempty"` // seconds
}

type jwk struct {
	Use   string   `json:"use"`
	Type  string   `json:"kty"`
	Curve string   `json:"crv,omitempty"`
	X     string   `json:"x,omitempty"`
	Y     string   `json:"y,omitempty"`
	N     string   `json:"n,omitempty"`
	E     string   `json:"e,omitempty"`
	X5C   []string `json:"x5c"`
}

const useX509 = "x509-svid"

// JSON returns the bundle as SPIFFE has it. The same bundle gives the same bytes.
func (b Bundle) JSON() ([]byte, error) {
	out := jwks{Keys: []jwk{}, Sequence: b.Sequence, RefreshHint: int64(b.RefreshHint / time.Second)}
	for _, c := range b.Anchors {
		k, err := keyOf(c)
		if err != nil {
			return nil, err
		}
		k.Use, k.X5C = useX509, []string{base64.StdEncoding.EncodeToString(c.Raw)}
		out.Keys = append(out.Keys, k)
	}
	return json.Marshal(out)
}

// PEM returns the anchors as PEM, in order.
func (b Bundle) PEM() []byte { return PEM(b.Anchors...) }

// PEM returns certificates as PEM, in the order that they have.
func PEM(cs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range cs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// keyOf returns the parameters of a certificate's key (RFC 7518, section 6).
func keyOf(c *x509.Certificate) (jwk, error) {
	enc := base64.RawURLEncoding
	switch key := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 4, x, y, of equal lengths
		if err != nil {
			return jwk{}, fmt.Errorf("trust: the key of %s: %w", c.Subject, err)
		}
		half := (len(point) - 1) / 2
		return jwk{Type: "EC", Curve: key.Curve.Params().Name, X: enc.EncodeToString(point[1 : 1+half]), Y: enc.EncodeToString(point[1+half:])}, nil
	case *rsa.PublicKey:
		return jwk{Type: "RSA", N: enc.EncodeToString(key.N.Bytes()), E: enc.EncodeToString(big.NewInt(int64(key.E)).Bytes())}, nil
	}
	return jwk{}, fmt.Errorf("trust: the key of %s is neither ECDSA nor RSA", c.Subject)
}

// Decode reads a SPIFFE bundle of a trust domain. The document does not say whose it is: who fetched it knows.
func Decode(domain spiffe.TrustDomain, data []byte) (Bundle, error) {
	var in jwks
	switch {
	case len(data) > MaxBundleBytes:
		return Bundle{}, fmt.Errorf("trust: the bundle of %s has %d bytes; at most %d are read", domain, len(data), MaxBundleBytes)
	case domain == spiffe.TrustDomain{}:
		return Bundle{}, fmt.Errorf("trust: a bundle must be of a trust domain")
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return Bundle{}, fmt.Errorf("trust: the bundle of %s: %w", domain, err)
	}
	const hintMax = 30 * 24 * 3600
	var anchors []*x509.Certificate
	for i := range in.Keys {
		if in.Keys[i].Use != useX509 {
			continue
		}
		c, err := anchor(domain, &in.Keys[i])
		if err != nil {
			return Bundle{}, fmt.Errorf("trust: the bundle of %s: key %d: %w", domain, i, err)
		}
		if anchors = append(anchors, c); len(anchors) > MaxAnchors {
			return Bundle{}, fmt.Errorf("trust: the bundle of %s has over %d anchors", domain, MaxAnchors)
		}
	}
	hint := time.Duration(min(max(in.RefreshHint, 0), hintMax)) * time.Second
	return NewBundle(domain, in.Sequence, hint, anchors...), nil
}

// anchor reads one key of a bundle.
func anchor(domain spiffe.TrustDomain, k *jwk) (*x509.Certificate, error) {
	if len(k.X5C) != 1 {
		return nil, fmt.Errorf("x5c has %d certificates; it has one", len(k.X5C))
	}
	der, err := base64.StdEncoding.DecodeString(k.X5C[0])
	if err != nil {
		return nil, fmt.Errorf("x5c: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	own, err := keyOf(c)
	switch {
	case err != nil:
		return nil, err
	case own.Type != k.Type || own.Curve != k.Curve || own.X != k.X || own.Y != k.Y || own.N != k.N || own.E != k.E:
		return nil, fmt.Errorf("the key is not that of its certificate")
	}
	return c, authority(domain, c)
}

// authority says why a certificate cannot be an anchor of a trust domain.
func authority(domain spiffe.TrustDomain, c *x509.Certificate) error {
	if !c.BasicConstraintsValid || !c.IsCA {
		return fmt.Errorf("the certificate is no CA")
	}
	for _, u := range c.URIs {
		if id, err := spiffe.ParseID(u.String()); err == nil && id.TrustDomain() != domain {
			return fmt.Errorf("the certificate is of trust domain %s", id.TrustDomain())
		}
	}
	return nil
}

// FromPEM reads the anchors of a trust domain from PEM.
func FromPEM(domain spiffe.TrustDomain, sequence uint64, data []byte) (Bundle, error) {
	var anchors []*x509.Certificate
	for rest := data[:min(len(data), MaxBundleBytes)]; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Bundle{}, fmt.Errorf("trust: the bundle of %s: %w", domain, err)
		}
		if err := authority(domain, c); err != nil {
			return Bundle{}, fmt.Errorf("trust: the bundle of %s: %w", domain, err)
		}
		if anchors = append(anchors, c); len(anchors) > MaxAnchors {
			return Bundle{}, fmt.Errorf("trust: the bundle of %s has over %d anchors", domain, MaxAnchors)
		}
	}
	if len(anchors) == 0 {
		return Bundle{}, fmt.Errorf("trust: the bundle of %s has no certificate", domain)
	}
	return NewBundle(domain, sequence, 0, anchors...), nil
}
