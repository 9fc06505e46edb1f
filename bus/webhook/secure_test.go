package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// verify is the receiver's side of Standard Webhooks, written from its specification and not from this package.
func verify(secret string, h http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", h["Webhook-Id"][0], h["Webhook-Timestamp"][0], body)
	for _, part := range strings.Split(h.Get("webhook-signature"), " ") {
		version, value, _ := strings.Cut(part, ",")
		given, err := base64.StdEncoding.DecodeString(value)
		if version == "v1" && err == nil && hmac.Equal(given, mac.Sum(nil)) {
			return true
		}
	}
	return false
}

func TestSignature(t *testing.T) {
	// A receiver could not tell our messages from forged ones, or would refuse them while a secret is replaced.
	type seen struct {
		header http.Header
		body   []byte
	}
	got := make(chan seen, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Header, body}
	}))
	defer srv.Close()
	b := newBench(t, nil)
	b.order(Request{ID: "msg_1", URL: srv.URL, SecretFrom: "env:TWO", Sign: true})
	b.result()
	m := <-got
	if !verify(testSecret, m.header, m.body) || !verify(oldSecret, m.header, m.body) {
		t.Errorf("signature %q does not verify", m.header.Get("Webhook-Signature"))
	}
	if verify(testSecret, m.header, append(m.body, ' ')) {
		t.Error("the signature holds for another body")
	}
}

func TestSignatureVector(t *testing.T) {
	// Receivers that use the standard's own libraries would refuse every message: this is the example those are tested with.
	got, err := sign(testSecret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if err != nil || got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%%", "whsec_AAAA"} {
		if s, err := sign(bad, "a", "1", nil); err == nil {
			t.Errorf("secret %q gave %q", bad, s)
		}
	}
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	// Who may write an alert target could reach the metadata service and internal hosts through the engine.
	for address, want := range map[string]error{
		"8.8.8.8:443": nil, "[2606:4700::1]:443": nil, "93.184.216.34:80": nil,
		"127.0.0.1:80": errPrivate, "10.1.2.3:80": errPrivate, "172.16.0.1:80": errPrivate, "192.168.1.1:80": errPrivate, "100.64.0.1:80": errPrivate,
		"[::1]:80": errPrivate, "[fd12::1]:80": errPrivate, "[::ffff:10.0.0.1]:80": errPrivate, "[64:ff9b::a00:1]:80": errPrivate, "[2002:a00:1::]:80": errPrivate,
		"169.254.169.254:80": errForbidden, "[fe80::1%eth0]:80": errForbidden, "[fd00:ec2::254]:80": errForbidden, "0.0.0.0:80": errForbidden,
		"[::]:80": errForbidden, "224.0.0.1:80": errForbidden, "255.255.255.255:80": errForbidden, "[64:ff9b::a9fe:a9fe]:80": errForbidden, "nonsense": errForbidden,
		"[::7f00:1]:80": errPrivate, "192.0.2.1:80": errPrivate, "[2001:0:1::1]:80": errPrivate,
	} {
		if err := checkAddress(address, false); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
		if err := checkAddress(address, true); errors.Is(want, errForbidden) != (err != nil) {
			t.Errorf("%s with allowPrivate: %v", address, err)
		}
	}
}

func TestPrivateReceiver(t *testing.T) {
	// The rule about addresses would hold on paper only.
	hits := make(chan bool, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits <- true }))
	defer srv.Close()
	b := newBench(t, func(c *Config) { c.AllowPrivate = false })
	b.order(Request{ID: "allowed", URL: srv.URL, AllowPrivate: true})
	if r := b.result(); r.Outcome != Delivered {
		t.Errorf("allowed: %+v", r)
	}
	<-hits
	b.order(Request{ID: "refused", URL: srv.URL}) // also not over the connection that the first has left open
	if r := b.result(); r.Outcome != Rejected || r.Message != msgPrivate {
		t.Errorf("refused: %+v", r)
	}
	b.order(Request{ID: "metadata", URL: "http://169.254.169.254/latest", AllowPrivate: true})
	if r := b.result(); r.Outcome != Rejected || r.Message != msgLinkLocal {
		t.Errorf("metadata: %+v", r)
	}
	select {
	case <-hits:
		t.Error("the receiver was reached")
	default:
	}
}

// serveDNS answers every question for an IPv4 address with the addresses in turn, one a question.
func serveDNS(t *testing.T, addresses ...[4]byte) (*net.Resolver, *atomic.Int64) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			size, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:size]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Header.Response, m.Additionals = true, nil
			if q.Type == dnsmessage.TypeA {
				a := addresses[min(int(n.Add(1)), len(addresses))-1]
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.AResource{A: a}}}
			}
			out, err := m.Pack()
			if err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
	t.Cleanup(func() { pc.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}, n
}

func TestRebinding(t *testing.T) {
	// A name that answers a public address when it is looked at and a private one when it is used would get around the rule.
	hits := make(chan bool, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits <- true }))
	defer srv.Close()
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	resolver, asked := serveDNS(t, [4]byte{192, 0, 2, 1}, [4]byte{127, 0, 0, 1})
	b := newBench(t, func(c *Config) { c.AllowPrivate, c.Resolver = false, resolver })
	for i := range 3 {
		b.order(Request{ID: fmt.Sprint(i), URL: "http://rebind.example.com:" + port})
		if r := b.result(); r.Outcome != Rejected {
			t.Errorf("%+v", r)
		}
	}
	if asked.Load() < 3 || len(hits) > 0 {
		t.Errorf("%d questions, %d hits", asked.Load(), len(hits))
	}
	b.order(Request{ID: "allowed", URL: "http://rebind.example.com:" + port, AllowPrivate: true})
	if r := b.result(); r.Outcome != Delivered {
		t.Errorf("the same name, allowed: %+v", r)
	}
}

func TestCertificateIsVerified(t *testing.T) {
	// Somebody on the way could read the alerts and the routing key.
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	b := newBench(t, nil)
	b.order(Request{ID: "d", URL: srv.URL})
	if r := b.result(); r.Outcome != Retry || r.Message != msgUnknownCA {
		t.Errorf("%+v", r)
	}
	plain := strings.Replace(srv.URL, "https", "http", 1)
	b.order(Request{ID: "d", URL: plain})
	if r := b.result(); r.Outcome != Rejected || r.Status != 400 {
		t.Errorf("%+v", r)
	}
}

func TestNoSecretComesOut(t *testing.T) {
	// A Slack URL or a routing key would stand in the log, in events and in dead letters for all readers.
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Location", r.URL.String())
		w.Header().Set("X-Echo", string(body))
		var code int
		fmt.Sscanf(r.URL.Query().Get("code"), "%d", &code)
		w.WriteHeader(code)
		fmt.Fprintf(w, "%s %s", r.URL, body) // an echo of all that we have sent
	}))
	defer srv.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	b := newBench(t, func(c *Config) { c.Timeout = time.Second })
	render := func(secret string) (Content, error) {
		if strings.HasPrefix(secret, "fail") {
			return Content{}, errors.New("cannot render with " + secret)
		}
		return Content{Method: "POST", Header: nil, Body: []byte(secret)}, nil
	}
	tail := "/services/" + urlSecret + "?token=" + urlSecret + "&code="
	refs := []string{
		"test:" + srv.URL + tail + "200", "test:" + srv.URL + tail + "301", "test:" + srv.URL + tail + "400", "test:" + srv.URL + tail + "500",
		"test:" + gone.URL + tail, "test:http://" + urlSecret + ".invalid/" + urlSecret, "test:://" + urlSecret, "test:ftp://" + urlSecret, "test:http://%zz" + urlSecret,
		"test:http://user:" + urlSecret + "@127.0.0.1:1/", "test:https://" + srv.Listener.Addr().String() + tail, "test:http://127.0.0.1:99999/" + urlSecret, "env:GONE",
	}
	for i, ref := range refs {
		b.order(Request{ID: fmt.Sprint(i), URLFrom: ref, SecretFrom: "env:ONE", Sign: true, Render: render})
		b.result()
	}
	b.order(Request{ID: "s1", URL: srv.URL, SecretFrom: "env:GONE", Render: render})
	b.order(Request{ID: "s2", URL: srv.URL, SecretFrom: "test:fail" + urlSecret, Render: render})
	b.order(Request{ID: "s3", URL: srv.URL, SecretFrom: "test:" + urlSecret, Sign: true, Render: render})
	for range 3 {
		if r := b.result(); r.Outcome != Retry {
			t.Errorf("%+v", r)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, secret := range []string{urlSecret, testSecret, "services", "token"} {
		if strings.Contains(strings.ToLower(string(b.raw)), strings.ToLower(secret)) {
			t.Errorf("results hold %q: %s", secret, b.raw)
		}
	}
}

func TestSecrets(t *testing.T) {
	// Who may write a target could post the admin token, or any file or variable of the process, to a server of their own.
	dir := t.TempDir()
	folder := filepath.Join(dir, "secrets")
	for name, text := range map[string]string{filepath.Join(dir, "admin.token"): "top", filepath.Join(folder, "slack"): "value\n", filepath.Join(folder, "empty"): " "} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../admin.token", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"EVENKEEL_SECRET_A": "a", "HOME": "top", "EVENKEEL_SECRET_E": ""}
	s := Secrets{EnvPrefix: "EVENKEEL_SECRET_", Folder: folder, LookupEnv: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}
	for ref, want := range map[string]string{
		"env:EVENKEEL_SECRET_A": "a", "file:slack": "value", "env:HOME": "", "env:EVENKEEL_SECRET_B": "", "env:EVENKEEL_SECRET_E": "", "file:../admin.token": "",
		"file:link": "", "file:empty": "", "file:gone": "", "file:" + filepath.Join(dir, "admin.token"): "", "plain": "", "": "",
	} {
		got, err := s.Resolve(ref)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q gave %q, %v", ref, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "top") {
			t.Errorf("%q: the error holds a secret: %v", ref, err)
		}
	}
	if _, err := (Secrets{}).Resolve("file:slack"); err == nil {
		t.Error("without a folder a file was read")
	}
}
