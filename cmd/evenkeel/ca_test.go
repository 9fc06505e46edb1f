package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A cluster's istiod would sign with something that the global namespace's bundle does not verify, a key would be shown where it should not be, or a CA would be overwritten.
func TestCA(t *testing.T) {
	dir := t.TempDir()
	at := []string{"--dir", filepath.Join(dir, "ca"), "--master-key-file", filepath.Join(dir, "master")}
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := command(t, nil, "", append(append([]string{"ca"}, args...), at...)...)
		if code != want {
			t.Fatalf("evenkeel ca %v: exit %d, want %d: %s", args, code, want, errs)
		}
		return out + errs
	}
	run(exitCould, "rotate")
	out := run(exitDone, "init", "--trust-domain", "shop.internal", "--clusters", "eu-1,us-1")
	if strings.Count(out, "IssueCluster") != 2 || strings.Contains(out, "PRIVATE") {
		t.Errorf("init says %s", out)
	}
	run(exitUsage, "init", "--trust-domain", "shop.internal", "--clusters", "eu-1")
	if out := run(exitDone, "rotate"); out != "" {
		t.Errorf("a rotation at once does %s", out)
	}
	if out := run(exitDone, "rotate", "--dry-run", "--clusters", "eu-1,us-1,ap-1"); !strings.Contains(out, "IssueCluster ap-1 (dry run)") {
		t.Errorf("a dry run for a third cluster says %s", out)
	}
	if out := run(exitDone, "check"); !strings.Contains(out, "eu-1") || strings.Contains(out, "ap-1") || strings.Contains(out, "PRIVATE") {
		t.Errorf("check says %s", out)
	}

	anchors := x509.NewCertPool()
	if bundle := run(exitDone, "bundle"); !anchors.AppendCertsFromPEM([]byte(bundle)) || strings.Contains(bundle, "PRIVATE") {
		t.Errorf("the bundle is %s", bundle)
	}
	if out := run(exitDone, "bundle", "-o", "spiffe"); !strings.Contains(out, "x509-svid") {
		t.Errorf("the SPIFFE bundle is %s", out)
	}
	secret := map[string][]byte{}
	for _, line := range strings.Split(run(exitDone, "cacerts", "--cluster", "eu-1"), "\n") {
		if name, text, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && strings.HasSuffix(name, ".pem") {
			b, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			secret[name] = b
		}
	}
	block, _ := pem.Decode(secret["ca-cert.pem"])
	if block == nil || len(secret) != 4 {
		t.Fatalf("the secret has %d files", len(secret))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	between := x509.NewCertPool()
	between.AppendCertsFromPEM(secret["cert-chain.pem"])
	if _, err := cert.Verify(x509.VerifyOptions{Roots: anchors, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil || !cert.IsCA {
		t.Errorf("the bundle does not verify the CA of eu-1: %v", err)
	}
	run(exitCould, "cacerts", "--cluster", "nowhere")

	if err := os.WriteFile(filepath.Join(dir, "master"), []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(exitCould, "cacerts", "--cluster", "eu-1"); strings.Contains(out, "PRIVATE") {
		t.Errorf("with another master secret: %s", out)
	}
}
