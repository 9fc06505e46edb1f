package jetstream

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// A Role names a set of rights on the bus.
type Role string

// The roles. All but RoleReader are for processes of Evenkeel.
const (
	RoleAdmin   Role = "admin"   // everything: a process with all roles, repair, backup
	RoleIngest  Role = "ingest"  // appends frames, reads LOG; nothing else
	RoleDecider Role = "decider" // commits, snapshots, ticks, retention
	RoleResult  Role = "result"  // appends results and proposals, reads LOG
	RoleReader  Role = "reader"  // subscribers: evenkeel.> and the stream EVENTS, read only
)

// A User may connect to the listener: with name and password, or with the password alone as a token.
type User struct {
	Role     Role
	Name     string
	Password string
}

const adminUser = "evenkeel-internal"

// randomName returns n random bytes in hexadecimal.
func randomName(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// routeURL makes the URL of a route; an address may be written as NATS' own documentation does, with nats-route:// before it.
func routeURL(address string, c ClusterConfig) (*url.URL, error) {
	address = strings.TrimPrefix(address, "nats-route://")
	if _, _, err := splitAddress(address); err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: "nats-route", Host: address}
	if c.User != "" {
		u.User = url.UserPassword(c.User, c.Password)
	}
	return u, nil
}

// authenticator decides who a connection is. It knows the process's own administrator and the configured users.
type authenticator struct {
	server *Server
	users  []User
}

func (s *Server) authenticator() *authenticator {
	own := User{Role: RoleAdmin, Name: adminUser, Password: s.password}
	return &authenticator{server: s, users: append([]User{own}, s.config.Users...)}
}

// Check implements server.Authentication.
func (a *authenticator) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	if o.Nkey != "" {
		return a.server.checkAgent(c)
	}
	secret, byToken := o.Password, false
	if o.Username == "" && o.Token != "" {
		secret, byToken = o.Token, true
	}
	if secret == "" {
		return false
	}
	for _, u := range a.users {
		if u.Password == "" || subtle.ConstantTimeCompare([]byte(u.Password), []byte(secret)) != 1 || !byToken && u.Name != o.Username {
			continue
		}
		r, ok := rightsOf(u.Role)
		if !ok {
			return false
		}
		account, err := a.server.nats.LookupAccount(r.account)
		if err != nil {
			return false
		}
		c.RegisterUser(&server.User{Username: u.Name, Account: account, Permissions: r.permissions()})
		return true
	}
	return false
}

func unknownRole(us []User) error {
	for _, u := range us {
		if _, ok := rightsOf(u.Role); !ok {
			return fmt.Errorf("user %q: unknown role %q; it is one of admin, ingest, decider, result, reader", u.Name, u.Role)
		}
	}
	return nil
}
