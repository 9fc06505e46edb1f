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

// Before a cluster is attached nobody could see whom a boundary would let in, or the numbers would not be those of the rules.
func TestCheckInventory(t *testing.T) {
	const file, inventory = "testdata/gns/shop.yaml", "testdata/gns/inventory.yaml"
	for form, name := range map[string]string{"": "gns/check.txt", "json": "gns/check.json"} {
		code, out, errs := command(t, nil, "", "check", file, "--inventory", inventory, "-o", form)
		if code != exitDone {
			t.Errorf("exit %d: %s", code, errs)
		}
		golden(t, name, out)
	}
	for _, c := range []struct {
		in, file, inventory string
		want                string
	}{
		{"apiVersion: evenkeel.dev/v1beta1\nkind: Inventory\nmetadata: {name: a}\nspec: {cluster: []}\n", file, "-", `4:8: unknown field "cluster" in spec (did you mean "clusters"?)`},
		{"", file, "-", "stdin: there is no inventory in the file"},
		{"", file, file, "GlobalNamespace of evenkeel.dev/v1beta1 is no inventory"},
		{"apiVersion: evenkeel.dev/v1beta1\nkind: GlobalNamespace\nmetadata: {name: a}\nspec: {}\n", "-", inventory, "not said while there are mistakes"},
	} {
		code, out, errs := command(t, nil, c.in, "check", c.file, "--inventory", c.inventory)
		if code != exitNo || !strings.Contains(out+errs, c.want) || strings.Contains(out, "outside") {
			t.Errorf("exit %d, want %q in\n%s%s", code, c.want, out, errs)
		}
	}
}
