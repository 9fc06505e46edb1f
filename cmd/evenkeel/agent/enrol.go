package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh/inventory"
)

// enrolled is what an agent keeps of its enrolment.
type enrolled struct {
	Version  int             `json:"v"`
	Cluster  string          `json:"cluster"`
	TokenSum string          `json:"tokenSum"`
	NATS     string          `json:"nats"`
	Scope    json.RawMessage `json:"scope,omitempty"`
}

const (
	enrolPauseMin = time.Second
	enrolPauseMax = time.Minute
	awayMax       = time.Minute // without the hub, after which the agent asks again where it is expected
)

// keep writes the enrolment; the file is there whole or as it was.
func (a *agent) keep(e enrolled) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(a.Data, ".enrolled-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // after the rename it is not there
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), a.path(fileEnrolled))
}

// ensureEnrolled reads the enrolment, and enrols where there is none or a new token was given. A hub that is away is asked again.
func (a *agent) ensureEnrolled(ctx context.Context) error {
	var e enrolled
	b, err := os.ReadFile(a.path(fileEnrolled))
	if err == nil && (json.Unmarshal(b, &e) != nil || e.Version != 1) {
		e = enrolled{}
	}
	token, err := a.token()
	if e.Cluster == a.Cluster && (err != nil || sum(token) == e.TokenSum) {
		a.mu.Lock()
		a.enrolled = e
		a.mu.Unlock()
		return nil
	}
	if err != nil {
		return err
	}
	for pause := enrolPauseMin; ; pause = min(2*pause, enrolPauseMax) {
		a.become(stateEnrolling, "")
		err := a.enrol(ctx)
		if err == nil || errors.Is(err, ErrRefused) || ctx.Err() != nil {
			return err
		}
		a.become(stateEnrolling, err.Error())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (a *agent) token() (string, error) {
	if a.TokenFile == "" {
		return "", errors.New("--token-file is missing; it names the file with the token of 'evenkeel cluster attach'")
	}
	return console.ReadToken(a.TokenFile)
}

func sum(token string) string {
	s := sha256.Sum256([]byte(token))
	return hex.EncodeToString(s[:])
}

// enrol shows the token, and keeps what the hub answers.
func (a *agent) enrol(ctx context.Context) error {
	token, err := a.token()
	if err != nil {
		return err
	}
	key, err := jetstream.EnsureAgentKey(a.path(fileKey))
	if err != nil {
		return err
	}
	client, hub, err := a.client()
	if err != nil {
		return err
	}
	body, err := json.Marshal(console.EnrolRequest{Token: token, PublicKey: key})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, hub.JoinPath("api/v1/clusters", url.PathEscape(a.Cluster), "enrol").String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("reach the hub: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("answer of the hub: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp.StatusCode, answer)
	}
	var ok console.EnrolAnswer
	if err := json.Unmarshal(answer, &ok); err != nil {
		return fmt.Errorf("answer of the hub: %w", err)
	}
	return a.accept(hub, token, &ok)
}

func (a *agent) accept(hub *url.URL, token string, ok *console.EnrolAnswer) error {
	e := enrolled{Version: 1, Cluster: a.Cluster, TokenSum: sum(token), NATS: ok.NATS, Scope: ok.Scope}
	if at, err := url.Parse(ok.NATS); err != nil || ok.NATS == "" {
		return errors.New("the hub has no address for agents; give it --nats-listen or --agent-nats")
	} else if at.Hostname() == "" {
		at.Host = net.JoinHostPort(hub.Hostname(), at.Port())
		e.NATS = at.String()
	}
	if err := a.keep(e); err != nil {
		return fmt.Errorf("keep the enrolment: %w", err)
	}
	a.mu.Lock()
	a.enrolled = e
	a.mu.Unlock()
	a.Logger.Info("the hub has taken this agent in", "cluster", a.Cluster, "nats", e.NATS)
	return nil
}

// refusal says what the hub refuses; 403 and 400 are for good.
func refusal(status int, answer []byte) error {
	var in struct {
		Error struct{ Code, Message string } `json:"error"`
	}
	_ = json.Unmarshal(answer, &in) // what is no JSON leaves the status
	if status == http.StatusForbidden || status == http.StatusBadRequest {
		return fmt.Errorf("%w (%s): %s", ErrRefused, in.Error.Code, in.Error.Message)
	}
	return fmt.Errorf("the hub answers with HTTP status %d: %s", status, in.Error.Message)
}

// client reaches the hub over verified TLS; without TLS on loopback only, or where that was allowed. It follows no redirect: the token goes to the hub alone.
func (a *agent) client() (*http.Client, *url.URL, error) {
	hub, err := url.Parse(a.Hub)
	if err != nil || hub.Host == "" || hub.Scheme != "https" && hub.Scheme != "http" {
		return nil, nil, fmt.Errorf("%w: --hub is no https URL", ErrRefused)
	}
	if hub.Scheme == "http" && !a.Plaintext && !jetstream.Loopback(hub.Hostname()) {
		return nil, nil, fmt.Errorf("%w: --hub is http, and the token would be seen on the way; --plaintext allows it", ErrRefused)
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	if a.HubCA != "" {
		pem, err := os.ReadFile(a.HubCA)
		if err != nil {
			return nil, nil, fmt.Errorf("--hub-ca: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("%w: --hub-ca %s holds no PEM certificate", ErrRefused, a.HubCA)
		}
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, hub, nil
}

// A hubLink is the agent's connection to the hub, wherever that is now.
type hubLink struct {
	mu   sync.Mutex
	now  *jetstream.AgentLink
	nats string
}

// Last implements [jetstream.Link].
func (l *hubLink) Last(ctx context.Context, lane string) (jetstream.AgentAnswer, error) {
	return l.get().Last(ctx, lane)
}

// Put implements [jetstream.Link].
func (l *hubLink) Put(ctx context.Context, lane, life string, expect uint64, ps []jetstream.Parcel) (jetstream.AgentAnswer, error) {
	return l.get().Put(ctx, lane, life, expect, ps)
}

func (l *hubLink) get() *jetstream.AgentLink {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *hubLink) close() { l.get().Close() }

// dial connects to where the hub expects the agent, unless it is connected there already.
func (a *agent) dial() error {
	a.mu.Lock()
	at := a.enrolled.NATS
	a.mu.Unlock()
	l := &a.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != nil && l.nats == at {
		return nil
	}
	next, err := jetstream.DialHub(jetstream.LinkConfig{
		URL: at, Cluster: a.Cluster, SeedFile: a.path(fileKey), CAFile: a.HubCA, Plaintext: a.Plaintext, Logger: a.Logger,
		Changed: func(connected bool, why error) {
			if !connected && why != nil {
				a.become(stateAway, why.Error())
			}
		},
	})
	if err != nil {
		return err
	}
	if l.now != nil {
		l.now.Close()
	}
	l.now, l.nats = next, at
	return nil
}

// keepEnrolled asks the hub again, where it has been away for long: it may be expected elsewhere, or have been given a new token.
func (a *agent) keepEnrolled(ctx context.Context) error {
	pause := awayMax
	since := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Second):
		}
		if a.is(stateConnected) {
			since, pause = time.Now(), awayMax
			continue
		}
		if time.Since(since) < pause {
			continue
		}
		if err := a.enrol(ctx); errors.Is(err, ErrRefused) {
			a.become(stateRefused, err.Error())
		} else if err == nil {
			if err := a.dial(); err != nil {
				return err
			}
		}
		since, pause = time.Now(), min(2*pause, 15*time.Minute)
	}
}

// goodbyeMax is how long an agent that leaves waits for the hub to hear of it.
const goodbyeMax = 2 * time.Minute

// sayGoodbye tells the hub that the cluster has left, and waits until it has heard. A hub that gave up waiting has taken the agent's right; that is the end as well.
func (a *agent) sayGoodbye(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, goodbyeMax)
	defer cancel()
	o := inventory.Observation{
		Version: inventory.ObservationVersion, Cluster: a.Cluster, Observer: "leave-" + strings.ToLower(rand.Text())[:8], Number: 1, Phase: inventory.PhaseLeft, At: bus.TimeOf(time.Now()),
	}
	b, err := json.Marshal(o)
	if err == nil {
		_, err = a.outbox.Put(ctx, b)
	}
	if err != nil {
		a.Logger.Error("the hub cannot be told that the cluster has left", "err", err)
		return false
	}
	for a.outbox.Stats().Waiting > 0 {
		select {
		case <-ctx.Done():
			return errors.Is(ctx.Err(), context.DeadlineExceeded)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return true
}

// clean deletes what the agent has kept, but for the mark that it has ended.
func (a *agent) clean() error {
	if err := os.WriteFile(a.path(fileDetached), []byte(a.Cluster+"\n"), 0o600); err != nil {
		return fmt.Errorf("mark the end: %w", err)
	}
	entries, err := os.ReadDir(a.Data)
	for _, e := range entries {
		if e.Name() != fileDetached && e.Name() != "lock" {
			err = errors.Join(err, os.RemoveAll(filepath.Join(a.Data, e.Name())))
		}
	}
	a.Logger.Info("the cluster has left; key and outbox are deleted", "cluster", a.Cluster)
	return err
}
