package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/console"
	"evenkeel.dev/ingest"
)

// Files of the data folder that hold tokens, made at the first run.
const (
	adminToken    = "admin.token"
	senderToken   = "sender.token"
	internalToken = "internal.token" // for other processes of Evenkeel that use this one's NATS
)

// access is who may do what: over HTTP and gRPC, and at the NATS listener.
type access struct {
	authority *console.Authority
	users     []jetstream.User
	fresh     bool // tokens were made by this start
}

// newAccess reads the tokens of the data folder, making them at the first run, and those of the settings.
func newAccess(s *Settings) (*access, error) {
	a := &access{}
	var grants []console.Grant
	for _, t := range []struct {
		file, name string
		role       console.Role
	}{{adminToken, "admin", console.Admin}, {senderToken, "sender", console.Sender}} {
		secret, created, err := console.EnsureToken(filepath.Join(s.Data, t.file))
		if err != nil {
			return nil, err
		}
		a.fresh = a.fresh || created
		grants = append(grants, console.Grant{Identity: console.Identity{Name: t.name, Role: t.role}, Token: secret})
	}
	for _, t := range s.Tokens {
		secret, err := console.ReadToken(t.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("token %q: %w", t.Name, err)
		}
		grants = append(grants, console.Grant{Identity: console.Identity{Name: t.Name, Role: console.Role(t.Role), GlobalNamespaces: t.GlobalNamespaces}, Token: secret})
	}
	var err error
	if a.authority, err = console.NewAuthority(grants); err != nil {
		return nil, err
	}
	if s.Has(RoleBus) {
		a.users, err = natsUsers(s, grants)
	}
	return a, err
}

// natsUsers lets holders of tokens that may read everything subscribe, and other processes of Evenkeel do their part.
func natsUsers(s *Settings, grants []console.Grant) ([]jetstream.User, error) {
	internal, _, err := console.EnsureToken(filepath.Join(s.Data, internalToken))
	if err != nil {
		return nil, err
	}
	users := []jetstream.User{{Role: jetstream.RoleAdmin, Name: "internal", Password: internal}}
	for _, g := range grants {
		if g.Role != console.Sender && len(g.GlobalNamespaces) == 0 {
			users = append(users, jetstream.User{Role: jetstream.RoleReader, Name: g.Name, Password: g.Token})
		}
	}
	for _, u := range s.NATSUsers {
		secret, err := console.ReadToken(u.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("NATS user %q: %w", u.Name, err)
		}
		users = append(users, jetstream.User{Role: jetstream.Role(u.Role), Name: u.Name, Password: secret})
	}
	return users, nil
}

// sender is an identity as the ingest gate knows it.
func sender(id console.Identity) ingest.Sender {
	s := ingest.Sender{Name: id.Name}
	if len(id.GlobalNamespaces) == 1 {
		s.GlobalNamespace = id.GlobalNamespaces[0]
	}
	return s
}

var errNoIdentity = errors.New("the request has no identity")

// senderOf tells who sends, from what the HTTP middleware or authenticate has left in the context.
func senderOf(ctx context.Context) (ingest.Sender, error) {
	id := console.IdentityOf(ctx)
	if id.Name == "" {
		return ingest.Sender{}, errNoIdentity
	}
	return sender(id), nil
}

func senderOfRequest(r *http.Request) (ingest.Sender, error) { return senderOf(r.Context()) }

// authenticate finds who calls over gRPC by the metadata "authorization: Bearer TOKEN".
func (a *access) authenticate(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, h := range md.Get("authorization") {
		kind, token, _ := strings.Cut(h, " ")
		if id, ok := a.authority.SenderOf(strings.TrimSpace(token)); ok && strings.EqualFold(kind, "Bearer") {
			return console.WithIdentity(ctx, id), nil
		}
	}
	return nil, errNoIdentity
}

// tlsConfig returns the TLS of the HTTP and gRPC listeners, nil without a certificate.
func tlsConfig(s *Settings) (*tls.Config, error) {
	if s.TLSCert == "" {
		return nil, nil
	}
	k := &keyPair{cert: s.TLSCert, key: s.TLSKey}
	if _, err := k.get(nil); err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.get}
	if s.TLSClientCA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(s.TLSClientCA)
	if err != nil {
		return nil, fmt.Errorf("--tls-client-ca: %w", err)
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--tls-client-ca %s holds no PEM certificate", s.TLSClientCA)
	}
	return c, nil
}

// keyPair reads a certificate again when it is a minute old, so that a renewed one needs no restart.
type keyPair struct {
	cert, key string

	mu   sync.Mutex
	pair *tls.Certificate
	at   time.Time
}

func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pair != nil && time.Since(k.at) < time.Minute {
		return k.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	switch {
	case err == nil:
		k.pair, k.at = &pair, time.Now()
	case k.pair == nil:
		return nil, fmt.Errorf("--tls-cert %s: %w", k.cert, err)
	}
	return k.pair, nil // a pair that is being replaced is read again at the next handshake
}
