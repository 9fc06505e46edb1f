// Package webhook sends what stages have ordered to HTTP receivers. It alone does so. What goes by another protocol (a mail, for one) waits in the
// same queues under the same rules, and is carried out by a function that comes with the order (Request.Carry).
//
// It is told of orders by [Sender.Handle], from the commits of the stage that gave them, makes each into a request, sends it once, and
// appends what came of it to the log. It decides nothing: to try again is a new order. Orders that were waiting when the process
// died are lost here and given again by the stage.
//
// # What it guarantees
//
//   - An order that has lapsed (Request.NotAfter) is not sent, nor one that follows a lapsed one (Request.Follows).
//   - Requests of one key to one receiver go out in order, one at a time. A receiver has a few workers of its own, so that a slow one
//     delays nobody else. Queues are bounded; what is over the bound is dropped and counted, and the stage gives it again.
//   - No secret comes out: a result's message is one of a few fixed sentences, without URL, header, body or the text of an error.
//
// # What it refuses
//
// Addresses are looked at after the name was resolved, on the very connection that is made, so that a name that answers one
// thing now and another later gains nothing. Private, loopback, shared and reserved addresses are refused unless the order or
// the configuration allows them; link-local ones, where clouds keep their metadata, always. Redirects are not followed. TLS
// certificates are verified. Proxies of the environment (HTTPS_PROXY) are not used: behind a proxy the address could not be checked.
//
// # Signature
//
// Each request carries webhook-id (the same for all attempts) and webhook-timestamp; where a secret is set also webhook-signature, as
// Standard Webhooks has it (github.com/standard-webhooks/standard-webhooks, version 1).
package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"evenkeel.dev/bus"
)

// A Request is one order to send.
type Request struct {
	ID      string // the same for all attempts
	Attempt int
	// Receiver names whom it is for: each has its own queue and workers. Requests of one Key to one receiver keep their order.
	Receiver string
	Key      string
	// Follows is the ID of a request before. If that was let lapse here, this one is not sent either.
	Follows  string
	NotAfter bus.Time // when the order lapses; 0 never

	URL          string // where to, or
	URLFrom      string // a reference to it
	SecretFrom   string // reference to the secret that Render or the signature needs; may be ""
	Sign         bool   // sign with the secret
	AllowPrivate bool
	// Render makes the content. Secret is what SecretFrom stands for. Its error must not hold the secret.
	Render func(secret string) (Content, error)

	// Carry, where it is set, carries the request out by another protocol than HTTP: of the fields about content only SecretFrom is
	// used. The answer's ID and Attempt are set here; its Message must be a fixed sentence. Timeout bounds it; default Config.Timeout.
	Carry   func(ctx context.Context, secret string) Result
	Timeout time.Duration
}

// Content is what is sent. Path, when set, is joined to the URL unless the URL's path ends with it.
type Content struct {
	Method string
	Path   string
	Header []bus.Field
	Body   []byte
}

// A Result says what came of an attempt; it is appended to the log as JSON.
type Result struct {
	ID         string   `json:"id"`
	Attempt    int      `json:"attempt"`
	Outcome    string   `json:"outcome"`
	Status     int      `json:"status,omitempty"`       // HTTP status, 0 where there was no answer
	RetryAfter bus.Time `json:"retryAfterMs,omitempty"` // the receiver's wish, in milliseconds
	Message    string   `json:"message,omitempty"`      // a fixed sentence
}

// Outcomes of an attempt.
const (
	Delivered = "delivered" // the receiver took it: 2xx
	Retry     = "retry"     // it may not have got there: no connection, no answer in time, 408, 429, 5xx
	Rejected  = "rejected"  // it will be refused again: any other answer, a forbidden address
	Expired   = "expired"   // the order had lapsed; nothing was sent
	Late      = "late"      // what it follows had lapsed; nothing was sent
)

// A Config says how a Sender works. Request, Resolve, Append and Subject must be set; of the rest zero means the default.
type Config struct {
	// Request makes a request of a committed message; ok is false for a message that orders nothing.
	Request func(m bus.Message) (r Request, ok bool, err error)
	// Resolve returns what a reference stands for; see [Secrets].
	Resolve func(ref string) (string, error)
	// Append appends a result to the log.
	Append  func(ctx context.Context, m bus.Message) (uint64, error)
	Subject string // of results

	Now          func() time.Time // default time.Now
	AllowPrivate bool             // for all requests
	RootCAs      *x509.CertPool   // default the system's
	Resolver     *net.Resolver    // default the system's
	UserAgent    string           // default "Evenkeel"

	Timeout     time.Duration // of a whole request; default 10 s, below the minute after which a stage gives an order again
	DialTimeout time.Duration // default 5 s, for the connection and again for TLS
	Workers     int           // per receiver; default 4: keys that share one wait for each other
	QueueMax    int           // waiting requests; default 10,000
	ReceiverMax int           // of those, to one receiver; default 2,000
}

// Stats are counters, safe to read at any time.
type Stats struct {
	Delivered, Retry, Rejected, Expired, Late atomic.Uint64 // outcomes

	Dropped      atomic.Uint64 // requests over QueueMax or ReceiverMax
	Undecodable  atomic.Uint64 // messages that Config.Request refused
	Replaced     atomic.Uint64 // waiting requests whose next attempt came
	AppendFailed atomic.Uint64 // results that the log did not take
	Queued       atomic.Int64  // waiting now
}

// A Sender sends. It is safe for use by several goroutines.
type Sender struct {
	c       Config
	public  *http.Client
	private *http.Client // for requests that allow private addresses
	stats   Stats
	wake    chan struct{}

	mu        sync.Mutex
	lanes     map[laneKey]*lane
	waiting   map[string]int // requests by receiver
	queued    int
	ready     []*lane // that have requests and no worker
	lapsed    map[string]bool
	lapsedIDs []string // oldest first
}

// New returns a sender; [Sender.Run] makes it work.
func New(c Config) (*Sender, error) {
	switch {
	case c.Request == nil, c.Resolve == nil, c.Append == nil:
		return nil, errors.New("webhook: Request, Resolve and Append must be set")
	case c.Subject == "":
		return nil, errors.New("webhook: Subject is empty")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.UserAgent == "" {
		c.UserAgent = "Evenkeel"
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 5 * time.Second
	}
	if c.Workers == 0 {
		c.Workers = 4
	}
	if c.QueueMax == 0 {
		c.QueueMax = 10_000
	}
	if c.ReceiverMax == 0 {
		c.ReceiverMax = 2_000
	}
	return &Sender{
		c: c, public: newClient(&c, c.AllowPrivate), private: newClient(&c, true), wake: make(chan struct{}, 1),
		lanes: map[laneKey]*lane{}, waiting: map[string]int{}, lapsed: map[string]bool{},
	}, nil
}

// Stats returns the sender's counters.
func (s *Sender) Stats() *Stats { return &s.stats }

// Run sends what [Sender.Handle] takes until ctx ends. It then lets the requests that are on their way come to their end, at most
// Config.Timeout (or their own) and a few seconds, and returns nil; what still waits is forgotten, since whoever owns the stage next gives it again. It
// may then be called anew, but not twice at once.
func (s *Sender) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer s.forget()
	defer s.public.CloseIdleConnections()
	defer s.private.CloseIdleConnections()
	defer workers.Wait()
	for {
		for _, l := range s.takeReady() {
			workers.Go(func() { s.drain(ctx, l) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
	}
}
