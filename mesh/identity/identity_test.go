package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/mesh/identity"
	"evenkeel.dev/mesh/spiffe"
	"evenkeel.dev/mesh/trust"
)

var began = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func domain(t testing.TB, name string) spiffe.TrustDomain {
	t.Helper()
	d, err := spiffe.Of(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func workload(t testing.TB, d spiffe.TrustDomain, account string) spiffe.ID {
	t.Helper()
	id, err := d.Workload("shop-prod", account)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// folder returns keys in a new folder.
func folder(t testing.TB) (keys *identity.Folder, dir, master string) {
	t.Helper()
	dir, master = t.TempDir(), filepath.Join(t.TempDir(), "master")
	if err := os.WriteFile(master, []byte(strings.Repeat("k", identity.MasterBytes)), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := identity.OpenFolder(dir, master)
	if err != nil {
		t.Fatal(err)
	}
	return keys, dir, master
}

// turn does all that rotation asks for, and returns it.
func turn(t testing.TB, ca *identity.CA, l identity.Lives, now time.Time) []identity.Step {
	t.Helper()
	var done []identity.Step
	for range 20 {
		steps := identity.Rotate(ca.State(), l, now)
		if len(steps) == 0 {
			return done
		}
		for _, s := range steps {
			if err := ca.Do(s, now); err != nil {
				t.Fatalf("%+v: %v", s, err)
			}
		}
		done = append(done, steps...)
	}
	t.Fatalf("rotation does not come to rest: %+v", done)
	return nil
}

// authority returns a CA that can issue for clusters.
func authority(t testing.TB, c identity.Config, clusters ...string) *identity.CA {
	t.Helper()
	if c.Keys == nil {
		c.Keys, _, _ = folder(t)
	}
	ca, err := identity.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ca.SetClusters(clusters...)
	turn(t, ca, c.Lives, began)
	return ca
}

func key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func believes(t testing.TB, bundles ...trust.Bundle) trust.Trust {
	t.Helper()
	var out trust.Trust
	for _, b := range bundles {
		var reason string
		if out, reason = out.Merge(b, b.TrustDomain); reason != trust.ReasonTaken {
			t.Fatal(reason)
		}
	}
	return out
}

// A workload of one global namespace would pass for one of another.
func TestForeign(t *testing.T) {
	a, b := authority(t, identity.Config{TrustDomain: domain(t, "shop.internal")}, "eu-1"), authority(t, identity.Config{TrustDomain: domain(t, "payments.internal")}, "eu-1")
	id := workload(t, domain(t, "shop.internal"), "cart")
	chain, err := a.Issue("eu-1", id, key(t).Public(), began, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := believes(t, a.Bundle(), b.Bundle()).Verify(chain, began); err != nil || got != id {
		t.Errorf("who believes both: %s, %v", got, err)
	}
	if _, err := believes(t, b.Bundle()).Verify(chain, began); err == nil || !strings.Contains(err.Error(), "not known here") {
		t.Errorf("a verifier of the other: %v", err)
	}
	// One who has got a cluster's key of A writes B's id into a leaf, and a verifier takes A's anchor for one of B.
	secret, err := a.Cacerts("eu-1")
	if err != nil {
		t.Fatal(err)
	}
	stolen := forge(t, secret, "spiffe://payments.internal/ns/pay/sa/ledger")
	wrong := trust.NewBundle(domain(t, "payments.internal"), 1, 0, a.Bundle().Anchors...)
	if _, err := believes(t, wrong).Verify([]*x509.Certificate{stolen, chain[1]}, began); err == nil || !strings.Contains(err.Error(), "is not permitted by any constraint") {
		t.Errorf("the name constraint: %v", err)
	}
	if _, err := believes(t, b.Bundle()).Verify([]*x509.Certificate{stolen, chain[1]}, began); err == nil {
		t.Error("an anchor of A counted for B")
	}
	for _, id := range []spiffe.ID{workload(t, domain(t, "payments.internal"), "x"), domain(t, "shop.internal").ID(), {}} {
		if _, err := a.Issue("eu-1", id, key(t).Public(), began, 0); err == nil {
			t.Errorf("issued %q", id)
		}
	}
	if _, err := a.Issue("us-1", id, key(t).Public(), began, 0); err == nil {
		t.Error("issued for a cluster that is none of it")
	}
}

// forge signs a leaf with the key of a cacerts secret.
func forge(t *testing.T, secret map[string][]byte, id string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(secret["ca-key.pem"])
	k, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	block, _ = pem.Decode(secret["ca-cert.pem"])
	issuer, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(id)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: began, NotAfter: began.Add(time.Hour), URIs: []*url.URL{u}, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, leaf, issuer, key(t).Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A leaf would live longer than was asked for, be refused by a peer whose clock is behind, or all would be renewed at one moment.
func TestLeaf(t *testing.T) {
	lives := identity.Lives{Leaf: identity.LeafMax}
	ca := authority(t, identity.Config{TrustDomain: domain(t, "shop.internal"), Lives: lives}, "eu-1")
	id := workload(t, domain(t, "shop.internal"), "cart")
	if _, err := ca.Issue("eu-1", id, key(t).Public(), began, identity.LeafMax+time.Second); err == nil {
		t.Error("over 90 days")
	}
	first, last := time.Duration(1<<62), time.Duration(0)
	for range 50 {
		chain, err := ca.Issue("eu-1", id, key(t).Public(), began, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		leaf := chain[0]
		if d := leaf.NotAfter.Sub(began); d != 24*time.Hour || began.Sub(leaf.NotBefore) != 5*time.Minute || len(chain) != 2 || leaf.IsCA {
			t.Fatalf("lives for %s from %s, %d certificates", d, leaf.NotBefore, len(chain))
		}
		at := identity.RenewAt(leaf).Sub(began)
		first, last = min(first, at), max(last, at)
	}
	if first < 10*time.Hour || last > 14*time.Hour || last-first < 30*time.Minute {
		t.Errorf("renewed from %s to %s after", first, last)
	}
	end := began.Add(365*24*time.Hour - time.Hour) // of the cluster's CA
	if chain, err := ca.Issue("eu-1", id, key(t).Public(), end, 24*time.Hour); err != nil || chain[0].NotAfter.Sub(end) != time.Hour {
		t.Errorf("%v", err)
	}
	if _, err := ca.Issue("eu-1", id, key(t).Public(), end.Add(2*time.Hour), 0); err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("by an expired CA: %v", err)
	}
}

// A request would get names into a certificate that its sender has no right to.
func TestIssueRequest(t *testing.T) {
	ca := authority(t, identity.Config{TrustDomain: domain(t, "shop.internal")}, "eu-1")
	id := workload(t, domain(t, "shop.internal"), "cart")
	own, other := mustURL(t, id.String()), mustURL(t, "spiffe://shop.internal/ns/shop-prod/sa/admin")
	for want, r := range map[string]*x509.CertificateRequest{
		"":                     {Subject: pkix.Name{CommonName: "root"}},
		"nothing":              {URIs: []*url.URL{own}},
		"names that are no":    {DNSNames: []string{"istiod.istio-system.svc"}},
		"names that are no ":   {IPAddresses: []net.IP{{127, 0, 0, 1}}},
		"asks for another id":  {URIs: []*url.URL{other}},
		"asks for another id ": {URIs: []*url.URL{own, other}},
	} {
		der, err := x509.CreateCertificateRequest(rand.Reader, r, key(t))
		if err != nil {
			t.Fatal(err)
		}
		chain, err := ca.IssueRequest("eu-1", id, der, began, 0)
		if want == "" || want == "nothing" {
			if err != nil || chain[0].Subject.String() != "" || len(chain[0].URIs) != 1 || chain[0].URIs[0].String() != id.String() {
				t.Errorf("%v %v", err, chain)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	der, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key(t))
	der[len(der)-3] ^= 1
	if _, err := ca.IssueRequest("eu-1", id, der, began, 0); err == nil {
		t.Error("a request that its key did not sign")
	}
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Issue("eu-1", id, weak.Public(), began, 0); err == nil || !strings.Contains(err.Error(), "P-224 is not taken") {
		t.Errorf("a weak key: %v", err)
	}
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// The user's own CA could not be used, with its key or by hand, or something else than was asked for would be taken in.
func TestPreExisting(t *testing.T) {
	rootKey := key(t)
	root := selfSigned(t, rootKey)
	c := identity.Config{TrustDomain: domain(t, "shop.internal"), Parent: []*x509.Certificate{root}, ParentKey: rootKey}
	id := workload(t, c.TrustDomain, "cart")
	check := func(ca *identity.CA) {
		t.Helper()
		chain, err := ca.Issue("eu-1", id, key(t).Public(), began, 0)
		if err != nil || len(chain) != 3 {
			t.Fatal(err, len(chain))
		}
		b := ca.Bundle()
		if len(b.Anchors) != 1 || !b.Anchors[0].Equal(root) {
			t.Errorf("the bundle has %d anchors", len(b.Anchors))
		}
		if _, err := believes(t, b).Verify(chain, began); err != nil {
			t.Error(err)
		}
	}
	check(authority(t, c, "eu-1"))

	c.ParentKey = nil
	c.Keys, _, _ = folder(t)
	ca, err := identity.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ca.SetClusters("eu-1")
	step := identity.Rotate(ca.State(), c.Lives, began)[0]
	for range 2 {
		if err := ca.Do(step, began); !errors.Is(err, identity.ErrWaiting) {
			t.Fatal(err)
		}
	}
	request, err := ca.Request()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(request)
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	by := func(public crypto.PublicKey, isCA bool, pathLen int, permitted ...string) []byte {
		cert := &x509.Certificate{SerialNumber: big.NewInt(9), NotBefore: began, NotAfter: began.Add(2 * 365 * 24 * time.Hour), Subject: r.Subject, URIs: r.URIs, IsCA: isCA, BasicConstraintsValid: true,
			MaxPathLen: pathLen, MaxPathLenZero: pathLen == 0, KeyUsage: x509.KeyUsageCertSign, PermittedURIDomains: permitted}
		der, err := x509.CreateCertificate(rand.Reader, cert, root, public, rootKey)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	for want, cert := range map[string][]byte{
		"no PEM": []byte("x"), "another key": by(key(t).Public(), true, 1), "no CA's": by(r.PublicKey, false, -1), "path length is 0": by(r.PublicKey, true, 0),
		"is not permitted": by(r.PublicKey, true, 1, "other.internal"),
	} {
		if err := ca.Admit(cert, began); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := ca.Admit(by(r.PublicKey, true, 1), began); err != nil {
		t.Fatal(err)
	}
	turn(t, ca, c.Lives, began)
	check(ca)
}

func selfSigned(t *testing.T, k *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: began, NotAfter: began.Add(10 * 365 * 24 * time.Hour), Subject: pkix.Name{CommonName: "the company"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A CA would be another after a restart, or one written for another global namespace would be taken.
func TestSnapshot(t *testing.T) {
	c := identity.Config{TrustDomain: domain(t, "shop.internal")}
	c.Keys, _, _ = folder(t)
	ca := authority(t, c, "eu-1", "us-1")
	ca.Confirm("eu-1", 1)
	before, err := ca.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	again, err := identity.Load(c, before)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := again.Snapshot(); err != nil || string(after) != string(before) {
		t.Errorf("%v\n%s\n%s", err, before, after)
	}
	if steps := identity.Rotate(again.State(), c.Lives, began); len(steps) != 0 {
		t.Errorf("%+v", steps)
	}
	if _, err := again.Issue("us-1", workload(t, c.TrustDomain, "cart"), key(t).Public(), began, 0); err != nil {
		t.Error(err)
	}
	for from, to := range map[string]string{`"v":1`: `"v":2`, `"trustDomain":"shop.internal"`: `"trustDomain":"b.internal"`, `"chain":["M`: `"chain":["N`} {
		if _, err := identity.Load(c, []byte(strings.Replace(string(before), from, to, 1))); err == nil {
			t.Errorf("%s was taken", to)
		}
	}
}

// Keys would lie on the disk for anybody to read, or a damaged or foreign file would pass for a key.
func TestFolder(t *testing.T) {
	keys, dir, master := folder(t)
	made, err := keys.Make("signer-1")
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := x509.MarshalPKCS8PrivateKey(made)
	path := filepath.Join(dir, "signer-1.key")
	data, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(data), string(plain[len(plain)-20:])) {
		t.Fatal("the key can be read", err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Error(info.Mode())
	}
	if got, err := keys.Open("signer-1"); err != nil || !made.(*ecdsa.PrivateKey).Equal(got) {
		t.Error(err)
	}
	if _, err := keys.Make("signer-1"); err == nil {
		t.Error("a key took the place of another")
	}
	for i := range data {
		bad := []byte(string(data))
		bad[i] ^= 1
		if err := os.WriteFile(filepath.Join(dir, "bad.key"), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Open("bad"); err == nil || strings.Contains(err.Error(), hex.EncodeToString(plain[:8])) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "other.key"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Open("other"); err == nil {
		t.Error("a key under another name")
	}
	if err := os.WriteFile(master, []byte(strings.Repeat("07", identity.MasterBytes)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	others, err := identity.OpenFolder(dir, master)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := others.Open("signer-1"); err == nil || !strings.Contains(err.Error(), "another master secret") {
		t.Errorf("with another secret: %v", err)
	}
	for _, name := range []string{"", "../x", ".x", "a/b", "A"} {
		if _, err := keys.Make(name); err == nil {
			t.Errorf("the name %q", name)
		}
	}
	if err := errors.Join(keys.Remove("signer-1"), keys.Remove("signer-1")); err != nil {
		t.Error(err)
	}
	for text, mode := range map[string]os.FileMode{strings.Repeat("k", 32): 0o640, "short": 0o600} {
		file := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.OpenFolder(dir, file); err == nil || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A key would end up in a log.
func TestPrinted(t *testing.T) {
	keys, _, _ := folder(t)
	ca := authority(t, identity.Config{TrustDomain: domain(t, "shop.internal"), Keys: keys}, "eu-1")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb+" "+verb, ca, keys); !strings.HasPrefix(got, "CA of shop.internal keys in ") || strings.Contains(got, "kkkk") || strings.Contains(got, "6b6b") {
			t.Errorf("%s: %s", verb, got)
		}
	}
}
