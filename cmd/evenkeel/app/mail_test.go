package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/smtp"
	"evenkeel.dev/bus/webhook"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/notify"
)

// mailbox is a mail server that refuses the first message for now, and those of the service "payments" for good.
type mailbox struct {
	mu    sync.Mutex
	tried int
	mails chan string
}

func (b *mailbox) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return &mailSession{b}, nil }

type mailSession struct{ *mailbox }

func (*mailSession) Reset()                                   {}
func (*mailSession) Logout() error                            { return nil }
func (*mailSession) Mail(string, *gosmtp.MailOptions) error   { return nil }
func (s *mailSession) Rcpt(string, *gosmtp.RcptOptions) error { return nil }
func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.tried++
	first := s.tried == 1
	s.mu.Unlock()
	switch {
	case first:
		return &gosmtp.SMTPError{Code: 451, Message: "greylisted"}
	case strings.Contains(string(text), "payments"):
		return &gosmtp.SMTPError{Code: 554, Message: "refused"}
	}
	s.mails <- string(text)
	return nil
}

func startMailbox(t *testing.T) (*mailbox, string) {
	t.Helper()
	b := &mailbox{mails: make(chan string, 100)}
	s := gosmtp.NewServer(b)
	s.Domain = "localhost"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		l.Close() // where the server has not come to serve yet, it would not know its listener
		if err := <-done; err != nil && !errors.Is(err, gosmtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	return b, l.Addr().String()
}

// mailLoop joins stage, queue and mail client on a log in memory, as the program does.
type mailLoop struct {
	t    *testing.T
	log  *bus.Memory
	dead chan notify.DeadEvent
}

func startMailLoop(t *testing.T) *mailLoop {
	t.Helper()
	m := &mailLoop{t: t, log: bus.NewMemory(), dead: make(chan notify.DeadEvent, 100)}
	m.log.SetTime(bus.TimeOf(time.Now()))
	client, err := smtp.New(smtp.Config{Check: webhook.CheckAddress})
	if err != nil {
		t.Fatal(err)
	}
	sender, err := webhook.New(webhook.Config{
		Request: order(notify.Renderer{}, client.Send), Append: m.log.Append, Subject: notify.SubjectResult,
		Resolve: func(string) (string, error) { return "", errors.New("no secrets") },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = sender.Run(ctx) })
	wg.Go(func() {
		_ = bus.Run(ctx, bus.RunConfig{Log: m.log, Spec: notify.Spec(notify.Config{}), OnCommit: func(_ bus.Checkpoint, ms []bus.Message) {
			sender.Handle(ms)
			for i := range ms {
				var e notify.DeadEvent
				if strings.HasPrefix(ms[i].Subject, notify.SubjectDead) && json.Unmarshal(ms[i].Data, &e) == nil {
					m.dead <- e
				}
			}
		}})
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return m
}

func (m *mailLoop) append(subject string, v any) {
	m.t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		_, err = m.log.Append(context.Background(), bus.Message{Subject: subject, Data: data})
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *mailLoop) target(t notify.Target) {
	m.t.Helper()
	compiled, err := json.Marshal(t)
	if err != nil {
		m.t.Fatal(err)
	}
	m.append(mesh.SubjectChange, mesh.Change{Accepted: true, Set: []mesh.Definition{{Ref: mesh.Ref{Kind: notify.KindTarget, Namespace: "default", Name: t.Name}, GlobalNamespace: "shop", Compiled: compiled}}})
}

func (m *mailLoop) alert(service, state string) {
	m.t.Helper()
	now := bus.TimeOf(time.Now()).String()
	e := slo.AlertEvent{
		ID: "id-" + service, GlobalNamespace: "shop", Service: service, SLO: "availability", Tier: "page", Severity: "page", State: state, Reason: "BurnRateHigh", StartsAt: now,
		Objective: slo.MustDecimal("0.999"), Window: slo.Window{Type: "rolling", Duration: slo.Duration(30 * bus.Day)},
	}
	if state == slo.AlertResolved {
		e.EndsAt = now
	}
	m.append(bus.EventSubject("slo", "alert", "shop", service, "availability"), e)
}

// await returns what comes from a channel, while ticks go on.
func await[T any](m *mailLoop, from chan T) T {
	m.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case v := <-from:
			return v
		case now := <-tick.C:
			m.log.SetTime(bus.TimeOf(now))
			m.append(bus.SubjectTick, nil)
		case <-deadline:
			m.t.Fatal("nothing came")
		}
	}
}

func parseMail(t *testing.T, text string) mail.Header {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header
}

// If it fails, mails are lost when a server is busy, tried for hours when it refuses them, or the end stands apart from its beginning.
func TestMailFromAlertToMailbox(t *testing.T) {
	box, address := startMailbox(t)
	m := startMailLoop(t)
	m.target(notify.Target{Name: "mail", Type: notify.TypeEmail, AllowPrivate: true, Default: true, Mail: &notify.MailTarget{To: []string{"oncall@example.com"}, From: "evenkeel@example.com", SMTP: address}})
	m.alert("checkout", slo.AlertFiring) // the first attempt is refused for now
	first := parseMail(t, await(m, box.mails))
	m.alert("checkout", slo.AlertResolved)
	second := parseMail(t, await(m, box.mails))
	if first.Get("Message-Id") == "" || first.Get("Message-Id") != second.Get("In-Reply-To") || second.Get("Message-Id") == first.Get("Message-Id") {
		t.Errorf("the end does not answer to the beginning:\n%v\n%v", first, second)
	}
	if !strings.HasPrefix(first.Get("Subject"), "[FIRING] [page]") || !strings.HasPrefix(second.Get("Subject"), "[RESOLVED] [page]") {
		t.Errorf("subjects %q and %q", first.Get("Subject"), second.Get("Subject"))
	}
	m.alert("payments", slo.AlertFiring)
	if dead := await(m, m.dead); dead.Reason != notify.DeadRejected || dead.Status != 554 || dead.Attempts != 1 {
		t.Errorf("%+v", dead)
	}
	m.target(notify.Target{Name: "mail", Type: notify.TypeEmail, Default: true, Mail: &notify.MailTarget{To: []string{"oncall@example.com"}, From: "evenkeel@example.com", SMTP: address}})
	m.alert("search", slo.AlertFiring)
	if dead := await(m, m.dead); dead.Reason != notify.DeadRejected || !strings.Contains(dead.Message, "private or loopback") {
		t.Errorf("a private address: %+v", dead)
	}
}
