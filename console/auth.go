package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A Role names a set of rights.
type Role string

// The five roles; the package comment says what each may do.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Author   Role = "author"
	Admin    Role = "admin"
	Sender   Role = "sender"
)

// A right is what a route asks for.
type right int

const (
	mayRead right = iota
	mayOperate
	mayAuthor
	maySend
	mayAdminister
)

func (r Role) may(want right) bool {
	switch r {
	case Admin:
		return true
	case Viewer:
		return want == mayRead
	case Operator:
		return want == mayRead || want == mayOperate
	case Author:
		return want == mayRead || want == mayAuthor
	case Sender:
		return want == maySend
	}
	return false
}

// An Identity is who a request comes from.
type Identity struct {
	Name             string
	Role             Role
	GlobalNamespaces []string // to which the identity is bound; empty: all
}

// Sees reports whether the identity's rights reach into a global namespace.
func (id Identity) Sees(globalNamespace string) bool {
	return len(id.GlobalNamespaces) == 0 || slices.Contains(id.GlobalNamespaces, globalNamespace)
}

// A Grant gives the holder of a token an identity.
type Grant struct {
	Identity
	Token string
}

// An Authority knows tokens by their SHA-256.
type Authority struct {
	entries []authorityEntry
}

type authorityEntry struct {
	sum [sha256.Size]byte
	id  Identity
}

// minToken is the least length of a token: 16 characters of a random token cannot be guessed over a network.
const minToken = 16

// NewAuthority checks the grants. It refuses an unknown role, a token that is short or used twice, a binding to global namespaces for a
// role that acts on the whole engine, and a sender with more than one (its samples could not be stamped).
func NewAuthority(grants []Grant) (*Authority, error) {
	a := &Authority{}
	for _, g := range grants {
		if err := checkGrant(g); err != nil {
			return nil, fmt.Errorf("token %q: %w", g.Name, err)
		}
		sum := sha256.Sum256([]byte(g.Token))
		for _, e := range a.entries {
			if e.sum == sum {
				return nil, fmt.Errorf("tokens %q and %q are the same; each needs its own", e.id.Name, g.Name)
			}
		}
		a.entries = append(a.entries, authorityEntry{sum, g.Identity})
	}
	return a, nil
}

func checkGrant(g Grant) error {
	switch g.Role {
	case Viewer, Author, Operator, Admin, Sender:
	default:
		return fmt.Errorf("unknown role %q; it is one of viewer, operator, author, admin, sender", g.Role)
	}
	if g.Name == "" {
		return fmt.Errorf("it has no name")
	}
	if len(g.Token) < minToken {
		return fmt.Errorf("it has fewer than %d characters", minToken)
	}
	if n := len(g.GlobalNamespaces); n > 0 && g.Role == Admin {
		return fmt.Errorf("role %s acts on the whole engine and cannot be bound to global namespaces", g.Role)
	} else if n > 1 && g.Role == Sender {
		return fmt.Errorf("a sender can be bound to one global namespace, here are %d", n)
	}
	return nil
}

// Identify returns who holds the token. It takes the same time whichever token fits.
func (a *Authority) Identify(token string) (Identity, bool) {
	sum := sha256.Sum256([]byte(token))
	found := -1
	for i := range a.entries {
		if subtle.ConstantTimeCompare(sum[:], a.entries[i].sum[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return Identity{}, false
	}
	return a.entries[found].id, true
}

// token returns the token of a request: a bearer token or the password of basic authentication.
func token(r *http.Request) string {
	h := r.Header.Get("Authorization")
	if kind, rest, ok := strings.Cut(h, " "); ok && strings.EqualFold(kind, "Bearer") {
		return strings.TrimSpace(rest)
	}
	_, password, _ := r.BasicAuth()
	return password
}

type identityKey struct{}

// IdentityOf returns who a request that passed the middleware comes from.
func IdentityOf(ctx context.Context) Identity {
	id, _ := ctx.Value(identityKey{}).(Identity)
	return id
}

// WithIdentity returns a context for calls in the name of id: by the middleware, and by receivers with an authentication of their own (gRPC).
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// SenderOf returns the identity behind a token that may append telemetry; ok is false for a wrong token as for one without the right.
func (a *Authority) SenderOf(token string) (id Identity, ok bool) {
	id, ok = a.Identify(token)
	return id, ok && id.Role.may(maySend)
}

// guard asks for a right before it calls next.
func (s *Server) guard(want right, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, ok := s.Authority.Identify(token(r))
		switch {
		case !ok:
			s.counts.Unauthorized.Add(1)
			w.Header().Add("WWW-Authenticate", `Bearer realm="evenkeel"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="evenkeel", charset="UTF-8"`)
			writeError(w, http.StatusUnauthorized, "Unauthorized", "a valid token is needed: send 'Authorization: Bearer TOKEN', or the token as the password of basic authentication", nil)
		case !id.Role.may(want):
			s.counts.Forbidden.Add(1)
			writeError(w, http.StatusForbidden, "Forbidden", fmt.Sprintf("%s has the role %s, which may not do this", id.Name, id.Role), nil)
		default:
			next(w, r.WithContext(WithIdentity(r.Context(), id)))
		}
	}
}
