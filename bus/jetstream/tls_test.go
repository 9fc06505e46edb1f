package jetstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"evenkeel.dev/bus"
)

// certificate writes a self-signed certificate for 127.0.0.1 and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", raw)
}

// TestTLS: the bus would be readable on the wire, or not reachable for those who have the right certificates.
func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	s, err := StartServer(ServerConfig{DataDir: t.TempDir(), Listen: "127.0.0.1:0", TLSCert: cert, TLSKey: key, TLSClientCA: cert, Users: []User{{RoleAdmin, "admin", "pw"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	good := Credentials{User: "admin", Password: "pw", CAFile: cert, CertFile: cert, KeyFile: key}
	l := openTestLog(t, Config{URL: s.ClientURL(), Credentials: good})
	if _, err := l.Append(t.Context(), bus.Message{Subject: "log.tick"}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Credentials{"no authority": {User: "admin", Password: "pw"}, "no client certificate": {User: "admin", Password: "pw", CAFile: cert}, "wrong password": {User: "admin", Password: "no", CAFile: cert, CertFile: cert, KeyFile: key}} {
		if l, err := Open(t.Context(), Config{URL: s.ClientURL(), Credentials: c}); err == nil {
			l.Close()
			t.Errorf("%s: got in", name)
		}
	}
}

// TestNKey: an existing NATS cluster that knows its clients by keys could not be used.
func TestNKey(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, MaxPayload: maxPayload,
		JetStreamMaxStore: maxStore, Nkeys: []*server.NkeyUser{{Nkey: public}}})
	if err != nil {
		t.Fatal(err)
	}
	go ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(readyTimeout) {
		t.Fatal("the server is not ready")
	}
	l := openTestLog(t, Config{URL: ns.ClientURL(), Credentials: Credentials{NKeySeedFile: file}})
	if _, err := l.Append(t.Context(), bus.Message{Subject: "log.tick"}); err != nil {
		t.Fatal(err)
	}
	if l, err := Open(t.Context(), Config{URL: ns.ClientURL(), Credentials: Credentials{User: "somebody", Password: "x"}}); err == nil {
		l.Close()
		t.Error("got in without the key")
	}
}
