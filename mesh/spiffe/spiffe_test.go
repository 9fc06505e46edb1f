package spiffe_test

import (
	"strings"
	"testing"

	"evenkeel.dev/mesh/spiffe"
)

// An identity that other tools refuse would be issued, or one that they take would be refused.
func TestParseID(t *testing.T) {
	long := strings.Repeat("a", spiffe.MaxTrustDomain)
	for text, want := range map[string]string{ // the error, or ""
		"spiffe://shop.internal/ns/shop-prod/sa/cart": "",
		"spiffe://shop.internal":                      "",
		"spiffe://a_b-c.9/X/y.z":                      "",
		"spiffe://" + long:                            "",
		"spiffe://" + long + "a":                      "at most 255",
		"spiffe://a/" + strings.Repeat("b", spiffe.MaxID-len("spiffe://a/")):   "",
		"spiffe://a/" + strings.Repeat("b", spiffe.MaxID-len("spiffe://a/")+1): "at most 2048",
		"":                       "does not begin with",
		"SPIFFE://shop/a":        "does not begin with",
		"https://shop/a":         "does not begin with",
		"spiffe:///a":            "is empty",
		"spiffe://Shop/a":        "'S'",
		"spiffe://shop:8080/a":   "':'",
		"spiffe://me@shop/a":     "'@'",
		"spiffe://shop/":         "empty segment",
		"spiffe://shop/a//b":     "empty segment",
		"spiffe://shop/a/":       "empty segment",
		"spiffe://shop/a/../b":   `segment ".."`,
		"spiffe://shop/./b":      `segment "."`,
		"spiffe://shop/%61":      "'%'",
		"spiffe://shop/a?b":      "'?'",
		"spiffe://shop/a#b":      "'#'",
		"spiffe://shop/a b":      "' '",
		"spiffe://shop\x00/a":    `'\x00'`,
		"spiffe://shop/ümlaut/a": "path has",
	} {
		id, err := spiffe.ParseID(text)
		switch {
		case want == "" && (err != nil || id.String() != text):
			t.Errorf("%.60s: %q, %v", text, id, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
}

// A service account's certificate would carry another name than Istio gives it.
func TestWorkload(t *testing.T) {
	domain, err := spiffe.Of("Shop.Internal.")
	if err != nil {
		t.Fatal(err)
	}
	id, err := domain.Workload("shop-prod", "cart")
	if err != nil || id.String() != "spiffe://shop.internal/ns/shop-prod/sa/cart" || id.Principal() != "shop.internal/ns/shop-prod/sa/cart" || id.TrustDomain() != domain {
		t.Fatal(id, err)
	}
	if ns, sa, ok := id.Workload(); ns != "shop-prod" || sa != "cart" || !ok {
		t.Error(ns, sa, ok)
	}
	for _, bad := range [][2]string{{"", "cart"}, {"shop", ""}, {"shop/x", "../cart"}, {"shop", "a b"}} {
		if id, err := domain.Workload(bad[0], bad[1]); err == nil {
			t.Errorf("%q: %s", bad, id)
		}
	}
	if _, _, ok := domain.ID().Workload(); ok || domain.ID().String() != "spiffe://shop.internal" || (spiffe.ID{}).String() != "" {
		t.Error(domain.ID())
	}
}

// A certificate of a stranger would crash a verifier, or one identity would have two spellings.
func FuzzParseID(f *testing.F) {
	for _, s := range []string{"spiffe://shop.internal/ns/shop-prod/sa/cart", "spiffe://a", "spiffe://a/..", "spiffe://", "spiffe://a/%2e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := spiffe.ParseID(text)
		if err != nil {
			if id != (spiffe.ID{}) {
				t.Fatalf("%q: %v beside an id", text, err)
			}
			return
		}
		if id.String() != text || len(text) > spiffe.MaxID || strings.ToLower(id.TrustDomain().String()) != id.TrustDomain().String() {
			t.Fatalf("%q became %q", text, id)
		}
	})
}
