package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What runs where would be shown wrong, or not at all, or scripts could not tell "there is none" from "could not ask".
func TestGetAndDescribeMesh(t *testing.T) {
	answers := map[string]string{}
	for path, file := range map[string]string{"clusters": "clusters", "services": "services", "instances": "instances", "groups": "groups", "gns": "gns-shop", "calls": "calls"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "console", "testdata", "mesh-"+file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		answers["GET /api/v1/"+path] = string(b)
	}
	s, env := serveAnswers(t, answers)
	var all strings.Builder
	for _, line := range []string{
		"get clusters", "get services", "get instances", "get gns", "get groups", "describe service/cart", "describe pod/cart-eu-1", "describe cluster/eu-1", "describe gns/shop", "describe group/shop-carts",
	} {
		code, out, errs := command(t, env, "", strings.Fields(line)...)
		if code != exitDone || errs != "" {
			t.Errorf("evenkeel %s: exit %d: %s", line, code, errs)
		}
		all.WriteString("$ evenkeel " + line + "\n" + withoutAges(out) + "\n")
	}
	golden(t, "mesh.txt", all.String())
	command(t, env, "", "get", "instances", "--gns", "shop", "--service", "cart", "--cluster", "eu-1", "--state", "Error")
	if got, want := s.asked[len(s.asked)-1], "GET /api/v1/instances?cluster=eu-1&gns=shop&service=cart&state=Error"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	_, none := serveAnswers(t, map[string]string{"GET /api/v1/services": `{"items":[]}`, "GET /api/v1/clusters": `{"items":[]}`})
	for line, want := range map[string]int{"describe service/x": exitNo, "get clusters": exitDone, "describe x": exitUsage, "describe slo/x": exitUsage, "describe gns/x": exitNo} {
		if code, out, errs := command(t, none, "", strings.Fields(line)...); code != want {
			t.Errorf("evenkeel %s: exit %d, want %d: %s%s", line, code, want, out, errs)
		}
	}
}

// withoutAges takes out what depends on the day of the test.
func withoutAges(out string) string {
	var b strings.Builder
	for _, l := range strings.SplitAfter(out, "\n") {
		fields := strings.Fields(l)
		for _, f := range fields {
			if n := len(f); n > 1 && f[n-1] == 'd' && strings.Trim(f[:n-1], "0123456789") == "" {
				l = strings.Replace(l, f, strings.Repeat("#", n), 1)
			}
		}
		b.WriteString(l)
	}
	return b.String()
}
