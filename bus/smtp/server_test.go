package smtp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
	"golang.org/x/net/dns/dnsmessage"
)

// serverName is what the server's certificate is for; the tests' resolver knows it.
const serverName = "mail.example.test"

// A postOffice is a mail server (emersion/go-smtp), of which a test says what it refuses and reads what it took.
type postOffice struct {
	t          *testing.T
	address    string // host:port, the host being serverName
	loopback   string // the same with its IP address
	pool       *x509.CertPool
	mechanisms []string
	tlsFirst   bool
	refuse     map[string]error // by the address of a recipient or sender, or "data"

	mu    sync.Mutex
	taken []taken
	auth  []string // mechanism, user and password of sign-ons
}

type taken struct {
	from, data string
	to         []string
	tls        bool
}

// newPostOffice starts a server. Change may alter it before it listens.
func newPostOffice(t *testing.T, change func(*postOffice, *gosmtp.Server)) *postOffice {
	t.Helper()
	p := &postOffice{t: t, mechanisms: []string{"PLAIN"}, refuse: map[string]error{}}
	s := gosmtp.NewServer(p)
	s.Domain, s.MaxRecipients, s.AllowInsecureAuth = serverName, 3, true
	s.ErrorLog = discard{}
	s.TLSConfig, p.pool = certificate(t)
	if change != nil {
		change(p, s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p.address, p.loopback = serverName+":"+port, l.Addr().String()
	if p.tlsFirst {
		l = tls.NewListener(l, s.TLSConfig)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		l.Close() // where the server has not come to serve yet, it would not know its listener
		if err := <-done; err != nil && !errors.Is(err, gosmtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	return p
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

// NewSession implements the server's backend.
func (p *postOffice) NewSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	return &session{p: p, c: c}, nil
}

type session struct {
	p *postOffice
	c *gosmtp.Conn
	m taken
}

func (s *session) Reset()                   { s.m = taken{} }
func (s *session) Logout() error            { return nil }
func (s *session) AuthMechanisms() []string { return s.p.mechanisms }

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	judge := func(user, password string) error {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		s.p.auth = append(s.p.auth, mechanism+" "+user+" "+password)
		if password != "open sesame" {
			return gosmtp.ErrAuthFailed
		}
		return nil
	}
	if mechanism == "LOGIN" {
		return &loginServer{judge: judge}, nil
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return judge(user, password) }), nil
}

// loginServer is the server's side of LOGIN.
type loginServer struct {
	judge func(user, password string) error
	said  []string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	if response != nil {
		l.said = append(l.said, string(response))
	}
	switch len(l.said) {
	case 0:
		return []byte("Username:"), false, nil
	case 1:
		return []byte("Password:"), false, nil
	}
	return nil, true, l.judge(l.said[0], l.said[1])
}

func (s *session) Mail(from string, _ *gosmtp.MailOptions) error {
	s.m.from = from
	return s.p.refuse[from]
}

func (s *session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if err := s.p.refuse[to]; err != nil {
		return err
	}
	s.m.to = append(s.m.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.p.refuse["data"]; err != nil {
		return err
	}
	s.m.data = string(b)
	_, s.m.tls = s.c.TLSConnectionState()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.taken = append(s.p.taken, s.m)
	return nil
}

// certificate makes a certificate for serverName, signed by an authority of its own.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	make := func(name string, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		}
		if parent == nil {
			parent, signer = c, key
		} else {
			c.DNSNames = []string{name}
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
		if err == nil {
			c, err = x509.ParseCertificate(der)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c, key
	}
	ca, caKey := make("test CA", nil, nil)
	leaf, key := make(serverName, ca, caKey)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}}, pool
}

// resolver answers every question for an IPv4 address with 127.0.0.1, but that names that begin with "no" are unknown.
func resolver(t *testing.T) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Header.Response, m.Additionals = true, nil
			switch {
			case strings.HasPrefix(q.Name.String(), "no"):
				m.Header.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
	t.Cleanup(func() { pc.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}
