package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"time"

	"evenkeel.dev/mesh/spiffe"
)

// skew is how far back certificates begin, for those whose clock is behind.
const skew = 5 * time.Minute

// template returns what all certificates have: a serial number that nobody can foresee, and their life.
func template(now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	serial[0] &= 0x7f // positive in 16 bytes
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), NotBefore: now.Add(-skew).UTC().Truncate(time.Second), NotAfter: now.Add(life).UTC().Truncate(time.Second),
		BasicConstraintsValid: true,
	}, nil
}

func uri(id spiffe.ID) (*url.URL, error) {
	u, err := url.Parse(id.String())
	if err != nil {
		return nil, fmt.Errorf("identity: %s: %w", id, err)
	}
	return u, nil
}

// issueLeaf signs a leaf. It ends with its issuer at the latest.
func issueLeaf(issuer *x509.Certificate, signer crypto.Signer, id spiffe.ID, public crypto.PublicKey, now time.Time, life time.Duration) (*x509.Certificate, error) {
	if err := publicKeyError(public); err != nil {
		return nil, err
	}
	t, err := template(now, life)
	if err != nil {
		return nil, err
	}
	if t.NotAfter.After(issuer.NotAfter) {
		t.NotAfter = issuer.NotAfter
	}
	if !t.NotAfter.After(now) {
		return nil, fmt.Errorf("identity: issue %s: the CA has expired on %s", id, issuer.NotAfter.UTC().Format(time.RFC3339))
	}
	u, err := uri(id)
	if err != nil {
		return nil, err
	}
	t.URIs = []*url.URL{u}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	if _, ok := public.(*rsa.PublicKey); ok {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return sign(t, issuer, public, signer)
}

// sign makes a certificate.
func sign(t, issuer *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, issuer, public, signer)
	if err != nil {
		return nil, fmt.Errorf("identity: sign: %w", err)
	}
	return x509.ParseCertificate(der)
}

// publicKeyError says why a key is not taken.
func publicKeyError(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
		return fmt.Errorf("identity: the curve %s is not taken; P-256 and P-384 are", key.Curve.Params().Name)
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < 2048 || n > 8192 {
			return fmt.Errorf("identity: an RSA key of %d bits is not taken; 2048 to 8192 are", n)
		}
		return nil
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("identity: a key of type %T is not taken; ECDSA, RSA and Ed25519 are", key)
}

// requestKey returns the key of a certificate request that asks for this id or for none. Nothing else of a request is taken over, and one that
// asks for more is refused, so that nobody believes to have got it.
func requestKey(der []byte, id spiffe.ID) (crypto.PublicKey, error) {
	if len(der) > 1<<14 {
		return nil, fmt.Errorf("identity: the request has %d bytes; at most %d are read", len(der), 1<<14)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("identity: the request: %w", err)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("identity: the request is not signed by its key: %w", err)
	}
	if len(r.DNSNames)+len(r.EmailAddresses)+len(r.IPAddresses) > 0 {
		return nil, fmt.Errorf("identity: the request asks for names that are no SPIFFE id")
	}
	if slices.ContainsFunc(r.URIs, func(u *url.URL) bool { return u.String() != id.String() }) {
		return nil, fmt.Errorf("identity: the request asks for another id than %s", id)
	}
	return r.PublicKey, nil
}

// RenewAt returns when a leaf should be renewed: after half of its life, moved by up to a twentieth of it by a hash of its serial number, so that those
// that were made at one moment are not renewed at one moment.
func RenewAt(leaf *x509.Certificate) time.Time {
	return half(&Authority{NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter}, jitter(leaf.SerialNumber.String()))
}
