//go:build peers

package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/mesh/identity"
	"evenkeel.dev/mesh/spiffe"
	"evenkeel.dev/mesh/trust"
)

// A verifier that is not Go's would refuse our chains, with their name constraints that are critical, or would believe one who has got a cluster's key and signs for
// another global namespace.
func TestOpenSSLPeers(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	domain, err := spiffe.Of("shop.internal")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	master := filepath.Join(dir, "master")
	if err := os.WriteFile(master, []byte(strings.Repeat("k", identity.MasterBytes)), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := identity.OpenFolder(filepath.Join(dir, "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := identity.New(identity.Config{TrustDomain: domain, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	ca.SetClusters("eu-1")
	for range 3 {
		for _, s := range identity.Rotate(ca.State(), identity.Lives{}, now) {
			if err := ca.Do(s, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	id, err := domain.Workload("shop-prod", "cart")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := ca.Issue("eu-1", id, key.Public(), now, 0)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := ca.Cacerts("eu-1")
	if err != nil {
		t.Fatal(err)
	}
	for want, leaf := range map[string]*x509.Certificate{
		"OK":                          chain[0],
		"permitted subtree violation": signed(t, secret, "spiffe://payments.internal/ns/pay/sa/ledger"),
	} {
		if got := verify(t, dir, secret, leaf, now); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// verify asks openssl.
func verify(t *testing.T, dir string, secret map[string][]byte, leaf *x509.Certificate, now time.Time) string {
	t.Helper()
	files := map[string][]byte{"root.pem": secret["root-cert.pem"], "chain.pem": secret["cert-chain.pem"], "leaf.pem": trust.PEM(leaf)}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("openssl", "verify", "-x509_strict", "-attime", strconv.FormatInt(now.Unix(), 10), "-CAfile", "root.pem", "-untrusted", "chain.pem", "leaf.pem")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatal(err) // there is no openssl
	}
	return string(out)
}

// signed returns a leaf by the key of a cluster's CA.
func signed(t *testing.T, secret map[string][]byte, id string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(secret["ca-key.pem"])
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	block, _ = pem.Decode(secret["ca-cert.pem"])
	issuer, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: issuer.NotBefore, NotAfter: issuer.NotAfter, URIs: []*url.URL{u}, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
