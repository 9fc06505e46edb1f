package app

import (
	"context"
	"os"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/bus/smtp"
	"evenkeel.dev/bus/webhook"
	"evenkeel.dev/slo/notify"
)

// outlet is the role notify: the stage that decides, and the sender that runs beside it.
type outlet struct{ sender *webhook.Sender }

// secretPrefix begins the names of environment variables that "env:" references of notification targets may name.
const secretPrefix = "EVENKEEL_SECRET_"

func newOutlet(a *app) (*outlet, error) {
	hello, _ := os.Hostname() // without one we call ourselves localhost
	mails, err := smtp.New(smtp.Config{
		Hello: hello,
		Check: func(address string, private bool) error {
			return webhook.CheckAddress(address, private || a.settings.AllowPrivateWebhooks)
		},
	})
	if err != nil {
		return nil, err
	}
	secrets := webhook.Secrets{EnvPrefix: secretPrefix, LookupEnv: os.LookupEnv, Folder: a.settings.Secrets}
	sender, err := webhook.New(webhook.Config{
		Request:      order(notify.Renderer{ExternalURL: a.settings.ExternalURL}, mails.Send),
		Resolve:      secrets.Resolve,
		Append:       a.log.Append,
		Subject:      notify.SubjectResult,
		AllowPrivate: a.settings.AllowPrivateWebhooks,
		UserAgent:    "Evenkeel/" + Version().Version,
	})
	return &outlet{sender}, err
}

func (o *outlet) work() jetstream.StageWork {
	return jetstream.StageWork{
		Spec:     notify.Spec(notify.Config{}),
		Role:     RoleNotify,
		OnCommit: func(_ int, _ bus.Checkpoint, ms []bus.Message) { o.sender.Handle(ms) },
		Beside:   func(ctx context.Context, _ int) error { return o.sender.Run(ctx) },
	}
}

// order makes a request of the webhook shell from a delivery of the notify stage. Mails wait in the same queues and go by send.
func order(r notify.Renderer, send func(context.Context, smtp.Mail) smtp.Answer) func(bus.Message) (webhook.Request, bool, error) {
	return func(m bus.Message) (webhook.Request, bool, error) {
		d, ok, err := notify.DecodeDelivery(m)
		if !ok || err != nil {
			return webhook.Request{}, false, err
		}
		t := d.Target
		q := webhook.Request{
			ID: d.ID, Attempt: d.Attempt, Receiver: d.TargetKey, Key: d.Key(), Follows: d.Follows, NotAfter: d.NotAfter,
			SecretFrom: t.SecretFrom, AllowPrivate: t.AllowPrivate,
		}
		if t.Type == notify.TypeEmail {
			q.Timeout = mailTimeout
			q.Carry = func(ctx context.Context, secret string) webhook.Result { return carryMail(ctx, r, d, secret, send) }
			return q, true, nil
		}
		q.URL, q.URLFrom, q.Sign = t.Endpoint(), t.URLFrom, t.Signed()
		q.Render = func(secret string) (webhook.Content, error) {
			c, err := r.Render(d, secret)
			return webhook.Content{Method: c.Method, Path: c.Path, Header: c.Header, Body: c.Body}, err
		}
		return q, true, nil
	}
}

// mailTimeout bounds one dialogue: mail servers take their time to look at who comes, and the stage gives an order again after a minute.
const mailTimeout = 30 * time.Second

func carryMail(ctx context.Context, r notify.Renderer, d notify.Delivery, secret string, send func(context.Context, smtp.Mail) smtp.Answer) webhook.Result {
	m, err := r.Mail(d)
	if err != nil {
		return webhook.Result{Outcome: webhook.Rejected, Message: "the mail cannot be rendered"}
	}
	a := send(ctx, smtp.Mail{
		Server: m.SMTP, User: m.User, Password: secret, Insecure: m.Insecure, AllowPrivate: d.Target.AllowPrivate, From: m.From, To: m.To, Data: m.Data,
	})
	return webhook.Result{Outcome: a.Outcome, Status: a.Code, Message: a.Message}
}
