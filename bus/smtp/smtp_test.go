package smtp

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	gosmtp "github.com/emersion/go-smtp"
)

const data = "From: a@example.com\r\nSubject: page\r\n\r\n.a line that begins with a dot\r\n.\r\nthe last\r\n"

// client returns one that trusts the office's authority; private addresses must be allowed by the mail.
func (p *postOffice) client(change func(*Config)) *Client {
	p.t.Helper()
	c := Config{RootCAs: p.pool, Resolver: resolver(p.t), Hello: "evenkeel.example.com", Check: func(_ string, private bool) error {
		if !private {
			return errors.New("private address")
		}
		return nil
	}}
	if change != nil {
		change(&c)
	}
	client, err := New(c)
	if err != nil {
		p.t.Fatal(err)
	}
	return client
}

func (p *postOffice) mail() Mail {
	return Mail{Server: p.address, AllowPrivate: true, From: "a@example.com", To: []string{"b@example.com"}, Data: []byte(data)}
}

// send sends one mail and returns the answer.
func (p *postOffice) send(m Mail) Answer {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	return p.client(nil).Send(ctx, m)
}

func TestStartTLSAndSignOn(t *testing.T) {
	// Mails would go in the clear, under no name, or come with another text.
	for _, mechanisms := range [][]string{{"PLAIN"}, {"LOGIN"}, {"LOGIN", "PLAIN"}} {
		p := newPostOffice(t, func(p *postOffice, _ *gosmtp.Server) { p.mechanisms = mechanisms })
		m := p.mail()
		m.User, m.Password, m.To = "evenkeel", "open sesame", []string{"b@example.com", "c@example.com"}
		if a := p.send(m); a != (Answer{Outcome: Delivered}) {
			t.Fatalf("%v: %+v", mechanisms, a)
		}
		want := []taken{{from: "a@example.com", to: m.To, data: data, tls: true}}
		if diff := cmp.Diff(want, p.taken, cmp.AllowUnexported(taken{})); diff != "" {
			t.Errorf("%v (-want +got): %s", mechanisms, diff)
		}
		if diff := cmp.Diff([]string{mechanisms[len(mechanisms)-1] + " evenkeel open sesame"}, p.auth); diff != "" {
			t.Errorf("%v (-want +got): %s", mechanisms, diff)
		}
	}
}

func TestTLSFromTheStart(t *testing.T) {
	// Servers that listen at port 465 only would hang until the time is up.
	p := newPostOffice(t, func(p *postOffice, _ *gosmtp.Server) { p.tlsFirst = true })
	m := p.mail()
	m.User, m.Password = "evenkeel", "open sesame"
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	port := p.address[strings.LastIndexByte(p.address, ':')+1:]
	if a := p.client(func(c *Config) { c.TLSPort = port }).Send(ctx, m); a.Outcome != Delivered || !p.taken[0].tls {
		t.Errorf("%+v", a)
	}
	if a := p.client(func(c *Config) { c.TLSPort, c.RootCAs = port, x509.NewCertPool() }).Send(ctx, m); a != (Answer{Outcome: Retry, Message: msgUnknownCA}) {
		t.Errorf("%+v", a)
	}
}

func TestNothingGoesInTheClear(t *testing.T) {
	// Whoever is on the way could take STARTTLS out and read alerts and password.
	plain := func(_ *postOffice, s *gosmtp.Server) { s.TLSConfig = nil }
	for name, c := range map[string]struct {
		office func(*postOffice, *gosmtp.Server)
		client func(*Config)
		mail   func(*postOffice, *Mail)
		want   Answer
		taken  bool
	}{
		"no STARTTLS":       {office: plain, want: Answer{Outcome: Retry, Message: msgNoTLS}},
		"explicitly":        {office: plain, mail: func(_ *postOffice, m *Mail) { m.Insecure = true }, want: Answer{Outcome: Delivered}, taken: true},
		"another authority": {client: func(c *Config) { c.RootCAs = x509.NewCertPool() }, want: Answer{Outcome: Retry, Message: msgUnknownCA}},
		"another name":      {mail: func(p *postOffice, m *Mail) { m.Server = p.loopback }, want: Answer{Outcome: Retry, Message: msgWrongName}},
		"a private address": {mail: func(_ *postOffice, m *Mail) { m.AllowPrivate = false }, want: Answer{Outcome: Rejected, Message: "private address"}},
	} {
		p := newPostOffice(t, c.office)
		m := p.mail()
		m.User, m.Password = "evenkeel", "open sesame"
		if c.mail != nil {
			c.mail(p, &m)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		a := p.client(c.client).Send(ctx, m)
		cancel()
		if diff := cmp.Diff(c.want, a); diff != "" || (len(p.taken) > 0) != c.taken || (len(p.auth) > 0) != c.taken {
			t.Errorf("%s: %s; took %d, %d signed on", name, diff, len(p.taken), len(p.auth))
		}
	}
}

func TestReplies(t *testing.T) {
	// A mailbox that is full for a minute would lose the page; one that does not exist would be tried for hours.
	temporary := &gosmtp.SMTPError{Code: 451, Message: "try later: b@example.com"}
	never := &gosmtp.SMTPError{Code: 550, Message: "no such user"}
	for name, c := range map[string]struct {
		refuse map[string]error
		want   Answer
	}{
		"sender, for now":      {map[string]error{"a@example.com": temporary}, Answer{Retry, 451, "the mail server answered 451 to the sender"}},
		"sender":               {map[string]error{"a@example.com": never}, Answer{Rejected, 550, "the mail server answered 550 to the sender"}},
		"all, one for now":     {map[string]error{"b@example.com": temporary, "c@example.com": never}, Answer{Retry, 451, "the mail server answered 451 to the recipients"}},
		"all, one for now (2)": {map[string]error{"b@example.com": never, "c@example.com": temporary}, Answer{Retry, 451, "the mail server answered 451 to the recipients"}},
		"all":                  {map[string]error{"b@example.com": never, "c@example.com": never}, Answer{Rejected, 550, "the mail server answered 550 to the recipients"}},
		"one of them":          {map[string]error{"c@example.com": never}, Answer{Delivered, 0, "the mail server refused 1 of 2 recipients"}},
		"message, for now":     {map[string]error{"data": temporary}, Answer{Retry, 451, "the mail server answered 451 to the message"}},
		"message":              {map[string]error{"data": never}, Answer{Rejected, 550, "the mail server answered 550 to the message"}},
	} {
		p := newPostOffice(t, func(p *postOffice, _ *gosmtp.Server) { p.refuse = c.refuse })
		m := p.mail()
		m.To = []string{"b@example.com", "c@example.com"}
		if diff := cmp.Diff(c.want, p.send(m)); diff != "" || (c.want.Outcome == Delivered) != (len(p.taken) == 1) {
			t.Errorf("%s: took %d (-want +got): %s", name, len(p.taken), diff)
		}
	}
}

func TestSignOnThatFails(t *testing.T) {
	// A wrong password would be tried until the account is locked, or stand in what people see.
	p := newPostOffice(t, nil)
	m := p.mail()
	m.User, m.Password = "evenkeel", "topsecret"
	if a := p.send(m); a.Outcome != Rejected || a.Code != 535 || strings.Contains(a.Message, "topsecret") {
		t.Errorf("%+v", a)
	}
	m.Password = "a\r\nb"
	if a := p.send(m); a != (Answer{Outcome: Rejected, Message: msgPassword}) {
		t.Errorf("%+v", a)
	}
	none := newPostOffice(t, func(p *postOffice, _ *gosmtp.Server) { p.mechanisms = []string{"XOAUTH9"} })
	m = none.mail()
	m.User, m.Password = "evenkeel", "open sesame"
	if a := none.send(m); a != (Answer{Outcome: Rejected, Message: msgNoAuth}) {
		t.Errorf("%+v", a)
	}
}

func TestAddressesThatBreakOut(t *testing.T) {
	// An address could hold commands of its own.
	p := newPostOffice(t, nil)
	for _, bad := range []string{"", "a b@example.com", "b@example.com>\r\nRCPT TO:<x@example.com", "<b@example.com>", "ü@example.com"} {
		m := p.mail()
		m.To = append(m.To, bad)
		if a := p.send(m); a != (Answer{Outcome: Rejected, Message: msgAddress}) {
			t.Errorf("%q: %+v", bad, a)
		}
		m = p.mail()
		m.From = bad
		if a := p.send(m); a.Outcome != Rejected {
			t.Errorf("%q: %+v", bad, a)
		}
	}
	if len(p.taken) > 0 {
		t.Errorf("took %+v", p.taken)
	}
}

// serveRaw takes one connection, says what it is given, and then answers nothing.
func serveRaw(t *testing.T, say func(*bufio.Writer)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		w := bufio.NewWriter(conn)
		say(w)
		_ = w.Flush()
		buf := make([]byte, 1024)
		for {
			if _, err := conn.Read(buf); err != nil {
				conn.Close()
				return
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestServersThatMisbehave(t *testing.T) {
	// A server that hangs, or talks without end, would stop all notifications or eat the memory.
	p := newPostOffice(t, nil)
	for want, say := range map[string]func(*bufio.Writer){
		msgTimeout: func(w *bufio.Writer) { fmt.Fprint(w, "220 hello\r\n") },
		msgTooLong: func(w *bufio.Writer) { fmt.Fprint(w, strings.Repeat("220-hello\r\n", 100_000)) },
		msgBroken:  func(w *bufio.Writer) { fmt.Fprint(w, "HTTP/1.1 400 Bad Request\r\n") },
		"the mail server answered 554 to the connection": func(w *bufio.Writer) { fmt.Fprint(w, "554 go away\r\n") },
		"the mail server answered 421 to the greeting":   func(w *bufio.Writer) { fmt.Fprint(w, "220 hello\r\n421 busy\r\n421 busy\r\n") },
	} {
		m := p.mail()
		m.Server, m.Insecure = serveRaw(t, say), true
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if a := p.client(nil).Send(ctx, m); a.Message != want {
			t.Errorf("%+v, want %s", a, want)
		}
		cancel()
	}
}

func TestServersThatAreNotThere(t *testing.T) {
	// People would look for the mistake in the wrong place.
	p := newPostOffice(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for address, want := range map[string]Answer{
		"nowhere.example.test:25": {Outcome: Retry, Message: msgNoName},
		l.Addr().String():         {Outcome: Retry, Message: msgRefused},
		"mail":                    {Outcome: Rejected, Message: msgServer},
	} {
		m := p.mail()
		m.Server = address
		if diff := cmp.Diff(want, p.send(m)); diff != "" {
			t.Errorf("%s (-want +got): %s", address, diff)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a client that checks no address was made")
	}
}
