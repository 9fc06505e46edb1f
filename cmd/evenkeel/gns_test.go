package main

import (
	"strings"
	"testing"
)

// A global namespace would go from under what stands in it, or take with it what was not shown.
func TestDeleteGlobalNamespace(t *testing.T) {
	env, _ := running(t, t.TempDir())
	for _, c := range []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"apply -f testdata/gns/shop.yaml", exitDone, "GlobalNamespace default/shop created"},
		{"get gns", exitDone, "payments"},
		{"get gns/shop", exitDone, "Global namespace: shop"},
		{"get groups --gns shop", exitDone, "carts"},
		{"diff -f testdata/gns/shop.yaml", exitDone, ""},
		{"delete gns/shop", exitNo, "GlobalNamespace default/shop cannot be deleted: 2 definitions stand in it: ResourceGroup default/carts, SLO default/cart-availability"},
		{"delete gns/shop --dry-run", exitNo, "2 definitions stand in it"},
		{"delete slo/cart-availability --cascade", exitUsage, "--cascade goes with a GlobalNamespace"},
		{"delete gns/shop --cascade --dry-run", exitDone, "ResourceGroup default/carts deleted (dry run)\nSLO default/cart-availability deleted (dry run)\nGlobalNamespace default/shop deleted (dry run)\n"},
		{"get slos", exitDone, "cart-availability"},
		{"delete gns/shop --cascade", exitDone, "ResourceGroup default/carts deleted\nSLO default/cart-availability deleted\nGlobalNamespace default/shop deleted\n"},
		{"get slos", exitDone, "No definitions found"},
		{"delete -f testdata/gns/shop.yaml --ignore-not-found", exitDone, "GlobalNamespace default/payments deleted"},
		{"apply -f testdata/gns/shop.yaml", exitDone, "SLO default/cart-availability created"},
		{"delete -f testdata/gns/shop.yaml --dry-run", exitDone, "2 definitions stand in it"},
		{"delete -f testdata/gns/shop.yaml", exitDone, "GlobalNamespace default/shop deleted"}, // it waits for those that stand in it
	} {
		code, out, errs := command(t, env, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("evenkeel %s: exit %d, want %d with %q\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}
