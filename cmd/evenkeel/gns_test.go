package main

import (
	"os"
	"path/filepath"
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

// Who leaves Tanzu would be handed global namespaces that do not load, let others in than before without a word, or lose one.
func TestConvertTanzuGlobalNamespaces(t *testing.T) {
	for _, in := range []string{"tanzu.json", "tanzu.yaml"} {
		code, out, errs := command(t, nil, "", "convert", "--from", "tanzu", "testdata/gns/"+in)
		if code != exitDone {
			t.Errorf("%s: exit %d: %s", in, code, errs)
		}
		golden(t, "gns/"+in+".out", out+"### notes\n"+errs)
		if code, said, _ := command(t, nil, out, "check", "-"); code != exitDone {
			t.Errorf("%s: what is written does not pass: %s", in, said)
		}
	}
	const one = `{"name": "a", "domain_name": "a.lab", "match_conditions": [{"namespace": {"type": "EXACT", "match": "a"}}]`
	for in, want := range map[string]string{
		one + `, "colour": "red"}`:                                                        "stdin:1:109: unknown field \"colour\" in the document (did you mean \"color\"?)",
		one + `, "ca_type": "selfsigned"}`:                                                `unknown ca_type "selfsigned" (did you mean "self-signed"?)`,
		strings.Replace(one, "EXACT", "STARTS_WITH", 1) + "}":                             `unknown type "STARTS_WITH" (did you mean "START_WITH"?)`,
		strings.Replace(one, `"match": "a"`, `"match": ""`, 1) + "}":                      "match is empty",
		strings.Replace(one, `"match": "a"`, `"match": "A"`, 1) + "}":                     `a: spec.matchConditions[0].namespace.match: the name "A" is not a DNS label`,
		"[" + one + "}," + one + "}]":                                                     `two global namespaces would be named "a"`,
		"[" + one + "}," + strings.Replace(one, `"a"`, `"b"`, 1) + "}]":                   "the domain a.lab is that of GlobalNamespace default/a already",
		"[" + one + "}," + strings.Replace(one, `"a"`, `"A"`, 1) + "}]":                   `two global namespaces would be named "a"`,
		"apiVersion: gns.tsm.vmware.com/v1\nkind: GNSServiceGroup\nmetadata: {name: a}\n": "GNSServiceGroup of gns.tsm.vmware.com/v1 is not converted",
		"apiVersion: gns.tsm.vmware.com/v1\nkind: GlobalNamespace\nmetadata: {name: a}\n": "spec is missing",
		`{"name": "a", "domain_name": "a.lab", "match_conditions": []}`:                   "there are 0 match_conditions",
		`[{"domain_name": 1}]`:                                                            "[0].domain_name must be a string",
	} {
		code, out, errs := command(t, nil, in, "convert", "--from", "tanzu", "-")
		if code != exitNo || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, want %q\n%s%s", in, code, want, out, errs)
		}
	}
}

// The page would show files that do not load, or an answer that the program does not give.
func TestGlobalNamespacesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/global-namespaces.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(page), "```")
	if len(parts) != 7 {
		t.Fatalf("%d blocks", len(parts)/2)
	}
	dir := t.TempDir()
	shop, inventory := filepath.Join(dir, "shop.yaml"), filepath.Join(dir, "inventory.yaml")
	for name, text := range map[string]string{shop: parts[1], inventory: parts[3]} {
		if err := os.WriteFile(name, []byte(strings.TrimPrefix(text, "yaml\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := command(t, nil, "", "check", shop, "--inventory", inventory)
	if *update {
		parts[5] = "\n" + out
		if err := os.WriteFile("../../docs/global-namespaces.md", []byte(strings.Join(parts, "```")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code != exitDone || "\n"+out != parts[5] {
		t.Errorf("exit %d, %s\n%s", code, errs, out)
	}
}
