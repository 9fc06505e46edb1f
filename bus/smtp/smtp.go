// Package smtp hands mails to a mail server, one dialogue a mail. It alone does so.
//
// It decides nothing and keeps nothing: a mail is ready to send, and an [Answer] says what the server made of it. Queues, order, attempts
// and their records are those of whoever calls it.
//
// # What it guarantees
//
//   - No mail and no password goes over a line in the clear unless the mail says so (Mail.Insecure). Port 465 speaks TLS from the start (RFC 8314), every other
//     port STARTTLS (RFC 3207), without which nothing is sent. Certificates are verified for the name of the server.
//   - No secret comes out: an answer's message is one of a few sentences, without password, address, content or the server's words.
//   - A reply of 4xx may go better next time, one of 5xx will not (RFC 5321, section 4.2.1). Where the server takes the mail for some recipients, it is
//     delivered, and the message says for how many it is not.
//   - A dialogue ends with its context, and reads at most 256 KiB.
//
// # What it refuses
//
// Addresses are looked at on the very connection that is made, by Config.Check. A recipient or sender that could break out of its command is refused.
//
// The dialogue is the standard library's net/smtp: it is small, kept safe with Go itself, and has all that is needed but the sign-on LOGIN, which
// stands here, since some servers know no other.
package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"strings"
	"syscall"
	"time"
)

// A Mail is one message and where it goes.
type Mail struct {
	Server   string // host:port
	User     string // signs on with Password
	Password string // "": nobody signs on
	Insecure bool   // no TLS
	// AllowPrivate is handed to Config.Check.
	AllowPrivate bool
	From         string // address of the envelope
	To           []string
	Data         []byte // RFC 5322, lines end in CR LF
}

// An Answer says what came of a mail.
type Answer struct {
	Outcome string // Delivered, Retry or Rejected
	Code    int    // the server's reply, 0 where there was none
	Message string // a fixed sentence; "" where all is well
}

// Outcomes of a mail.
const (
	Delivered = "delivered" // the server has taken it
	Retry     = "retry"     // it may not have got there: no connection, no answer in time, 4xx
	Rejected  = "rejected"  // it will be refused again: 5xx, a forbidden address
)

// A Config says how a Client connects. Check must be set.
type Config struct {
	// Check says whether a connection to ip:port may be made. The text of its error becomes an answer's message.
	Check    func(address string, private bool) error
	RootCAs  *x509.CertPool // default the system's
	Resolver *net.Resolver  // default the system's
	Hello    string         // how we call ourselves; default "localhost"
	TLSPort  string         // the port that speaks TLS from the start; default "465"
}

// A Client sends mails. It is safe for use by several goroutines.
type Client struct{ c Config }

// New returns a client.
func New(c Config) (*Client, error) {
	if c.Check == nil {
		return nil, errors.New("smtp: Check must be set")
	}
	if c.Hello == "" || !word(c.Hello) {
		c.Hello = "localhost"
	}
	if c.TLSPort == "" {
		c.TLSPort = "465"
	}
	return &Client{c}, nil
}

const (
	dialTimeout = 5 * time.Second
	readMax     = 256 << 10 // bytes of one dialogue, TLS included: replies are short
)

// Send hands a mail to its server. The context must end: it bounds the dialogue.
func (c *Client) Send(ctx context.Context, m Mail) Answer {
	host, port, err := net.SplitHostPort(m.Server)
	if err != nil {
		return Answer{Outcome: Rejected, Message: msgServer}
	}
	for _, a := range append([]string{m.From}, m.To...) {
		if !word(a) || strings.ContainsAny(a, "<>") {
			return Answer{Outcome: Rejected, Message: msgAddress}
		}
	}
	conn, err := c.dial(ctx, m, host, port)
	if err != nil {
		return classify("", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	d := dialogue{mail: &m, host: host, tls: &tls.Config{ServerName: host, RootCAs: c.c.RootCAs, MinVersion: tls.VersionTLS12}}
	a := d.run(conn, c.c.Hello, port == c.c.TLSPort && !m.Insecure)
	if ctx.Err() != nil && a.Outcome == Retry {
		a.Message = msgTimeout
	}
	return a
}

// word reports whether s is printable ASCII without spaces.
func word(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func (c *Client) dial(ctx context.Context, m Mail, host, port string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Resolver: c.c.Resolver, Control: func(_, address string, _ syscall.RawConn) error {
		if err := c.c.Check(address, m.AllowPrivate); err != nil {
			return &forbidden{err}
		}
		return nil
	}}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	if until, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(until); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return &bounded{Conn: conn, left: readMax}, nil
}

// bounded is a connection of which only so much is read.
type bounded struct {
	net.Conn
	left int
}

// Read implements [net.Conn].
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// A dialogue is one mail on its way over one connection.
type dialogue struct {
	mail *Mail
	host string
	tls  *tls.Config
	c    *smtp.Client
}

// run leads the whole dialogue.
func (d *dialogue) run(conn net.Conn, hello string, tlsFirst bool) Answer {
	if tlsFirst {
		conn = tls.Client(conn, d.tls)
	}
	c, err := smtp.NewClient(conn, d.host)
	if err != nil {
		return classify("the connection", err)
	}
	defer c.Close()
	d.c = c
	if err := c.Hello(hello); err != nil {
		return classify("the greeting", err)
	}
	if !tlsFirst && !d.mail.Insecure {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return Answer{Outcome: Retry, Message: msgNoTLS}
		}
		if err := c.StartTLS(d.tls); err != nil {
			return classify("STARTTLS", err)
		}
	}
	if a := d.signOn(); a.Outcome != "" {
		return a
	}
	if err := c.Mail(d.mail.From); err != nil {
		return classify("the sender", err)
	}
	refused, a := d.recipients()
	if a.Outcome != "" {
		return a
	}
	if err := d.data(); err != nil {
		return classify("the message", err)
	}
	_ = c.Quit() // it has been taken
	if refused > 0 {
		return Answer{Outcome: Delivered, Message: fmt.Sprintf("the mail server refused %d of %d recipients", refused, len(d.mail.To))}
	}
	return Answer{Outcome: Delivered}
}

// signOn authenticates where there is a password; an empty outcome means to go on.
func (d *dialogue) signOn() Answer {
	m := d.mail
	if m.Password == "" {
		return Answer{}
	}
	if strings.ContainsAny(m.User+m.Password, "\x00\r\n") {
		return Answer{Outcome: Rejected, Message: msgPassword}
	}
	_, offered := d.c.Extension("AUTH")
	var auth smtp.Auth
	for _, mechanism := range strings.Fields(offered) {
		switch {
		case strings.EqualFold(mechanism, "PLAIN"):
			auth = plainAuth{m.User, m.Password}
		case strings.EqualFold(mechanism, "LOGIN") && auth == nil:
			auth = &loginAuth{user: m.User, password: m.Password}
		}
	}
	if auth == nil {
		return Answer{Outcome: Rejected, Message: msgNoAuth}
	}
	if err := d.c.Auth(auth); err != nil {
		return classify("the sign-on", err)
	}
	return Answer{}
}

// recipients names them. It is enough that one is taken; if none is, the answer is the last, but a 4xx wins.
func (d *dialogue) recipients() (refused int, a Answer) {
	for _, to := range d.mail.To {
		err := d.c.Rcpt(to)
		if err == nil {
			continue
		}
		refused++
		one := classify("the recipients", err)
		if one.Code == 0 {
			return refused, one // the connection is gone
		}
		if a.Outcome != Retry {
			a = one
		}
	}
	if refused < len(d.mail.To) {
		return refused, Answer{}
	}
	return refused, a
}

func (d *dialogue) data() error {
	w, err := d.c.Data()
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(w, 16<<10)
	if _, err := b.Write(d.mail.Data); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return w.Close()
}

// plainAuth is PLAIN (RFC 4616). The one of net/smtp refuses what Mail.Insecure allows; that there is TLS was seen to before.
type plainAuth struct{ user, password string }

// Start implements [smtp.Auth].
func (a plainAuth) Start(*smtp.ServerInfo) (string, []byte, error) {
	return "PLAIN", []byte("\x00" + a.user + "\x00" + a.password), nil
}

// Next implements [smtp.Auth].
func (a plainAuth) Next(_ []byte, more bool) ([]byte, error) {
	if more {
		return nil, errAuth
	}
	return nil, nil
}

// loginAuth is LOGIN, which no RFC describes: user and password, each when asked.
type loginAuth struct {
	user, password string
	step           int
}

// Start implements [smtp.Auth].
func (a *loginAuth) Start(*smtp.ServerInfo) (string, []byte, error) { return "LOGIN", nil, nil }

// Next implements [smtp.Auth].
func (a *loginAuth) Next(_ []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	a.step++
	switch a.step {
	case 1:
		return []byte(a.user), nil
	case 2:
		return []byte(a.password), nil
	}
	return nil, errAuth
}
