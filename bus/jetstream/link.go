package jetstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"evenkeel.dev/bus"
)

// A LinkConfig says how an agent reaches the hub.
type LinkConfig struct {
	URL       string // nats://host:port or tls://host:port, several separated by commas; TLS is used in any case
	Cluster   string
	SeedFile  string // of the agent's key
	CAFile    string // PEM file: who signed the hub's certificate; "" is the system's authorities
	Plaintext bool   // no TLS; without it only to a loopback address
	// Changed is told when the connection comes and goes, with why; may be nil.
	Changed func(connected bool, why error)
	Logger  *slog.Logger
}

// An AgentLink is an agent's connection to the hub, which makes itself anew whenever it is lost. It implements [Link].
type AgentLink struct {
	conn  *nats.Conn
	token string
	lost  atomic.Pointer[error] // why the last try to connect failed
}

const (
	linkPauseMin = 200 * time.Millisecond
	linkPauseMax = 30 * time.Second
	linkTimeout  = 15 * time.Second // for an answer; a batch of the hub's slowest disk takes less
)

// ErrPlaintext refuses a connection that anybody on the way could read and change.
var ErrPlaintext = errors.New("without TLS a hub is reached on a loopback address only")

// DialHub begins to connect, and goes on in the background until Close: a hub that is away, or does not know the agent yet, is tried again.
func DialHub(c LinkConfig) (*AgentLink, error) {
	l := &AgentLink{token: bus.Token(c.Cluster)}
	if c.Changed == nil {
		c.Changed = func(bool, error) {}
	}
	key, err := nats.NkeyOptionFromSeed(c.SeedFile)
	if err != nil {
		return nil, fmt.Errorf("the agent's key: %w", err)
	}
	secure, err := linkTLS(c)
	if err != nil {
		return nil, err
	}
	o := []nats.Option{
		key, secure, nats.Name("agent of " + c.Cluster), nats.CustomInboxPrefix(agentInbox(c.Cluster)), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), nats.ReconnectBufSize(-1), nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2), nats.Timeout(requestTimeout), nats.IgnoreDiscoveredServers(),
		nats.CustomReconnectDelay(func(tries int) time.Duration {
			return jittered(min(linkPauseMax, linkPauseMin<<min(tries, 10)))
		}),
		nats.ConnectHandler(func(*nats.Conn) { c.Changed(true, nil) }),
		nats.ReconnectHandler(func(*nats.Conn) { c.Changed(true, nil) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { c.Changed(false, err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.lost.Store(&err); c.Changed(false, err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			logger(c.Logger).Debug("connection to the hub", "err", err)
		}),
	}
	if l.conn, err = nats.Connect(c.URL, o...); err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	return l, nil
}

// linkTLS demands TLS, or checks that it may be left out.
func linkTLS(c LinkConfig) (nats.Option, error) {
	if c.Plaintext {
		return func(*nats.Options) error { return nil }, nil
	}
	loopback := c.CAFile == ""
	for u := range strings.SplitSeq(c.URL, ",") {
		p, err := url.Parse(strings.TrimSpace(u))
		if err != nil || p.Host == "" {
			return nil, fmt.Errorf("the hub's address %q is no nats:// or tls:// URL", u)
		}
		loopback = loopback && p.Scheme == "nats" && Loopback(p.Hostname())
	}
	if loopback {
		return func(*nats.Options) error { return nil }, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("the hub's authority: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the hub's authority: %s holds no PEM certificate", c.CAFile)
		}
	}
	return nats.Secure(t), nil
}

// Loopback reports whether a host is this machine itself.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Close ends the connection.
func (l *AgentLink) Close() { l.conn.Close() }

// Last implements [Link].
func (l *AgentLink) Last(ctx context.Context, lane string) (AgentAnswer, error) {
	return l.ask(ctx, &nats.Msg{Subject: agentLast + l.token, Header: nats.Header{headerLane: {lane}}})
}

// Put implements [Link].
func (l *AgentLink) Put(ctx context.Context, lane, life string, expect uint64, ps []Parcel) (AgentAnswer, error) {
	body, encoding := packBatch(ps)
	return l.ask(ctx, &nats.Msg{Subject: agentPut + l.token, Data: body, Header: nats.Header{
		headerLane: {lane}, headerOutbox: {life}, headerExpect: {strconv.FormatUint(expect, 10)}, headerEncoding: {encoding},
	}})
}

func (l *AgentLink) ask(ctx context.Context, m *nats.Msg) (AgentAnswer, error) {
	var a AgentAnswer
	if !l.conn.IsConnected() {
		if err := l.lost.Load(); err != nil {
			return a, fmt.Errorf("the hub is not connected: %w", *err)
		}
		return a, errors.New("the hub is not connected")
	}
	ctx, cancel := context.WithTimeout(ctx, linkTimeout)
	defer cancel()
	r, err := l.conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return a, fmt.Errorf("ask the hub: %w", err)
	}
	if err := json.Unmarshal(r.Data, &a); err != nil || a.Version != 1 {
		return a, errors.New("the hub's answer cannot be read; is it of a later version?")
	}
	return a, nil
}
