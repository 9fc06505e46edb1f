package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Policies of encryption and routing could not be checked, applied, compared, shown or deleted as other definitions are.
func TestTrafficKinds(t *testing.T) {
	env, _ := running(t, t.TempDir())
	const file = "testdata/traffic/shop.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed, wrong := filepath.Join(t.TempDir(), "changed.yaml"), filepath.Join(t.TempDir(), "wrong.yaml")
	for name, text := range map[string]string{changed: strings.Replace(string(text), "v1, weight: 100}, {version: v2, weight: 0", "v1, weight: 90}, {version: v2, weight: 10", 1), wrong: strings.Replace(string(text), "weight: 0", "weight: 5", 1)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"check " + file, exitDone, ""},
		{"check " + wrong, exitNo, "wrong.yaml:21:7: the weights add up to 105 (they add up to 100)"},
		{"apply -f " + file, exitDone, "EncryptionPolicy default/shop created\nTrafficPolicy default/catalog created"},
		{"diff -f " + file, exitDone, ""},
		{"diff -f " + changed, exitNo, "weight: 90"},
		{"apply -f " + changed, exitDone, "TrafficPolicy default/catalog configured"},
		{"apply -f " + file, exitDone, "TrafficPolicy default/catalog configured"},
		{"get encryptionpolicies", exitDone, "shop"},
		{"get trafficpolicy/catalog -o yaml", exitDone, "weight: 0"},
		{"get trafficpolicies --gns other", exitDone, "No definitions found"},
		{"delete trafficpolicy/catalog", exitDone, "TrafficPolicy default/catalog deleted"},
		{"delete -f " + file + " --ignore-not-found", exitDone, "EncryptionPolicy default/shop deleted"},
	} {
		code, out, errs := command(t, env, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("evenkeel %s: exit %d, want %d with %q\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}

// Who leaves Tanzu would lose a rule, a weight of zero, or hear nothing of what cannot be kept.
func TestConvertTanzuRouting(t *testing.T) {
	code, out, errs := command(t, nil, "", "convert", "--from", "tanzu", "--gns", "shop", "testdata/traffic/tanzu.json")
	if code != exitNo {
		t.Errorf("exit %d, three of four cannot be converted", code)
	}
	golden(t, "traffic/tanzu.out", out+"---\n"+errs)
	if code, said, _ := command(t, nil, out, "check", "-"); code != exitDone {
		t.Errorf("what is written does not pass: %s", said)
	}
}
