package trust_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

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

// certificate returns one that signs itself, or that the parent signs.
func certificate(t testing.TB, id string, isCA bool, k crypto.Signer, parent *x509.Certificate, by crypto.Signer) *x509.Certificate {
	t.Helper()
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<60))
	c := &x509.Certificate{SerialNumber: serial, NotBefore: began, NotAfter: began.Add(time.Hour), IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature}
	if isCA {
		c.KeyUsage |= x509.KeyUsageCertSign
	}
	for text := range strings.FieldsSeq(id) {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = append(c.URIs, u)
	}
	if parent == nil {
		parent, by = c, k
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, k.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func ecKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func root(t testing.TB, name string) *x509.Certificate {
	return certificate(t, "spiffe://"+name, true, ecKey(t, elliptic.P256()), nil, nil)
}

// Other implementations could not read our bundles, or the same bundle would look new each time.
func TestJSON(t *testing.T) {
	d := domain(t, "shop.internal")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := root(t, "shop.internal"), certificate(t, "spiffe://shop.internal", true, ecKey(t, elliptic.P384()), nil, nil), certificate(t, "", true, rsaKey, nil, nil)
	bundle := trust.NewBundle(d, 7, 10*time.Minute, a, b, c, a)
	data, err := bundle.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := trust.NewBundle(d, 7, 10*time.Minute, c, b, a).JSON(); !bytes.Equal(again, data) {
		t.Error("another order gives other bytes")
	}
	got, err := trust.Decode(d, data)
	if err != nil || !reflect.DeepEqual(got, bundle) || len(got.Anchors) != 3 {
		t.Errorf("%v, %+v", err, got)
	}
	if got, err := trust.FromPEM(d, 7, bundle.PEM()); err != nil || len(got.Anchors) != 3 {
		t.Errorf("PEM: %v", err)
	}
	var fields struct {
		Keys []map[string]any `json:"keys"`
		Seq  float64          `json:"spiffe_sequence"`
		Hint float64          `json:"spiffe_refresh_hint"`
	}
	if err := json.Unmarshal(data, &fields); err != nil || len(fields.Keys) != 3 || fields.Seq != 7 || fields.Hint != 600 {
		t.Errorf("%v %s", err, data)
	}
	for _, k := range fields.Keys {
		der, _ := base64.StdEncoding.DecodeString(k["x5c"].([]any)[0].(string))
		if _, err := x509.ParseCertificate(der); err != nil || k["use"] != "x509-svid" || k["kty"] != "EC" && k["kty"] != "RSA" {
			t.Errorf("%v %v", err, k)
		}
	}
}

// A bundle would let somebody in who is no CA of the trust domain, or one with keys for JWTs could not be read.
func TestDecodeRefuses(t *testing.T) {
	d := domain(t, "shop.internal")
	good := root(t, "shop.internal")
	encode := func(c *x509.Certificate) string {
		b, err := trust.NewBundle(d, 1, 0, c).JSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	text := encode(good)
	other := encode(root(t, "shop.internal"))
	x := func(s string) string { return s[strings.Index(s, `"x":"`)+5:][:43] }
	if got, err := trust.Decode(d, []byte(strings.Replace(text, `{"keys":[`, `{"keys":[{"use":"jwt-svid","kty":"EC","kid":"a"},`, 1))); err != nil || len(got.Anchors) != 1 {
		t.Errorf("beside a key for JWTs: %v", err)
	}
	for want, in := range map[string]string{
		"is no CA":                        encode(certificate(t, "spiffe://shop.internal/ns/a/sa/b", false, ecKey(t, elliptic.P256()), nil, nil)),
		"of trust domain other.internal":  encode(root(t, "other.internal")),
		"is not that of its certificate":  strings.Replace(text, x(text), x(other), 1),
		"x5c has 0 certificates":          `{"keys":[{"use":"x509-svid","kty":"EC"}]}`,
		"at most 1048576 are read":        strings.Repeat(" ", trust.MaxBundleBytes+1),
		"has over 64 anchors":             `{"keys":[` + strings.Repeat(strings.TrimSuffix(strings.TrimPrefix(text, `{"keys":[`), `],"spiffe_sequence":1}`)+",", 64) + strings.TrimPrefix(text, `{"keys":[`),
		"unexpected end of JSON":          text[:len(text)-1],
		"illegal base64 data":             strings.Replace(text, `"x5c":["`, `"x5c":["*`, 1),
		"x509: malformed":                 strings.Replace(text, `"x5c":["M`, `"x5c":["A`, 1),
		"cannot unmarshal number -1 into": strings.Replace(text, `"spiffe_sequence":1`, `"spiffe_sequence":-1`, 1),
	} {
		if _, err := trust.Decode(d, []byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := trust.FromPEM(d, 1, []byte("nothing")); err == nil {
		t.Error("PEM without a certificate")
	}
}

// An anchor that was taken out would come back, somebody would speak for a trust domain that is not his, or hubs that hear the same in another order would believe other things.
func TestMerge(t *testing.T) {
	shop, pay := domain(t, "shop.internal"), domain(t, "payments.internal")
	one, two, three := root(t, "shop.internal"), root(t, "shop.internal"), root(t, "payments.internal")
	v1, v2, p1 := trust.NewBundle(shop, 1, 0, one), trust.NewBundle(shop, 2, 0, one, two), trust.NewBundle(pay, 9, 0, three)
	merge := func(in trust.Trust, b trust.Bundle, want string, speaks ...spiffe.TrustDomain) trust.Trust {
		t.Helper()
		out, reason := in.Merge(b, speaks...)
		if reason != want || want != trust.ReasonTaken && !reflect.DeepEqual(in, out) {
			t.Errorf("%s, want %s", reason, want)
		}
		return out
	}
	a := merge(trust.Trust{}, v1, trust.ReasonTaken, shop)
	before := a
	a = merge(a, v2, trust.ReasonTaken, shop)
	if b, _ := before.Of(shop); len(b.Anchors) != 1 {
		t.Error("the value that was merged into has changed")
	}
	a = merge(a, v1, trust.ReasonOlder, shop)
	a = merge(a, v2, trust.ReasonSame, shop)
	a = merge(a, trust.NewBundle(shop, 2, 0, two), trust.ReasonConflict, shop)
	a = merge(a, trust.NewBundle(shop, 3, 0, three), trust.ReasonForeign, pay)
	a = merge(a, p1, trust.ReasonTaken, pay, shop)
	if b := merge(merge(trust.Trust{}, p1, trust.ReasonTaken, pay), v2, trust.ReasonTaken, shop); !reflect.DeepEqual(a, b) {
		t.Error("another order gives another trust")
	}

	gone := trust.Revocation{Fingerprint: trust.Fingerprint(one), At: began, Reason: "the key was stolen"}
	late := gone
	late.At = began.Add(time.Hour)
	a = a.Revoke(late).Revoke(gone, gone)
	if b, _ := a.Of(shop); len(b.Anchors) != 1 || !b.Anchors[0].Equal(two) || len(a.Revoked) != 1 || !a.Revoked[0].At.Equal(began) {
		t.Errorf("%+v", a.Revoked)
	}
	a = merge(a, trust.NewBundle(shop, 3, 0, one), trust.ReasonAllRevoked, shop)
	a = merge(a, trust.NewBundle(shop, 4, 0, one, two), trust.ReasonTaken, shop)
	if b, _ := a.Of(shop); len(b.Anchors) != 1 {
		t.Error("a later sequence has brought a revoked anchor back")
	}
	if _, ok := a.Forget(shop).Of(shop); ok {
		t.Error("forgotten, and still there")
	}
}

// Something would pass for a workload that is none.
func TestVerify(t *testing.T) {
	rootKey, k := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	anchor := certificate(t, "spiffe://shop.internal", true, rootKey, nil, nil)
	believed, _ := trust.Trust{}.Merge(trust.NewBundle(domain(t, "shop.internal"), 1, 0, anchor), domain(t, "shop.internal"))
	const id = "spiffe://shop.internal/ns/a/sa/b"
	for ids, want := range map[string]string{
		id: "", "": "has 0 URIs", id + " https://a": "has 2 URIs", "spiffe://shop.internal": "has no path", "spiffe://other.internal/ns/a/sa/b": "is not known here", "https://shop.internal/a": "does not begin",
	} {
		leaf := certificate(t, ids, false, k, anchor, rootKey)
		got, err := believed.Verify([]*x509.Certificate{leaf}, began)
		if want == "" && (err != nil || got.String() != ids) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %s %v", ids, got, err)
		}
	}
	leaf := certificate(t, id, false, k, anchor, rootKey)
	if _, err := believed.Verify([]*x509.Certificate{leaf}, began.Add(2*time.Hour)); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("later: %v", err)
	}
	if _, err := believed.Verify([]*x509.Certificate{certificate(t, id, true, k, anchor, rootKey)}, began); err == nil || !strings.Contains(err.Error(), "is a CA's") {
		t.Errorf("a CA: %v", err)
	}
	between := certificate(t, "spiffe://shop.internal", true, k, anchor, rootKey)
	chain := []*x509.Certificate{certificate(t, id, false, ecKey(t, elliptic.P256()), between, k), between}
	if _, err := believed.Verify(chain, began); err != nil {
		t.Error(err)
	}
	if _, err := believed.Revoke(trust.Revocation{Fingerprint: trust.Fingerprint(between)}).Verify(chain, began); err == nil {
		t.Error("what a revoked CA has signed")
	}
	if _, err := believed.Verify(nil, began); err == nil {
		t.Error("nobody")
	}
}

// A bundle of a broken or hostile hub would crash the reader, or be read as something that it does not say.
func FuzzDecode(f *testing.F) {
	d := domain(f, "shop.internal")
	data, err := trust.NewBundle(d, 7, time.Minute, root(f, "shop.internal")).JSON()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(data), "{}", `{"keys":[{"use":"x509-svid","kty":"EC","x5c":["AAAA"]}]}`, `{"keys":null,"spiffe_refresh_hint":-5}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := trust.Decode(d, []byte(text))
		if err != nil {
			return
		}
		again, err := b.JSON()
		if err != nil {
			t.Fatal(err)
		}
		c, err := trust.Decode(d, again)
		if err != nil || !reflect.DeepEqual(b, c) {
			t.Fatalf("%v: %s became %s", err, text, again)
		}
	})
}
