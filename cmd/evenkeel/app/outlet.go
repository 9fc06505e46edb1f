package app

import (
	"context"
	"os"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/bus/webhook"
	"evenkeel.dev/slo/notify"
)

// outlet is the role notify: the stage that decides, and the sender that runs beside it.
type outlet struct{ sender *webhook.Sender }

// secretPrefix begins the names of environment variables that "env:" references of notification targets may name.
const secretPrefix = "EVENKEEL_SECRET_"

func newOutlet(a *app) (*outlet, error) {
	secrets := webhook.Secrets{EnvPrefix: secretPrefix, LookupEnv: os.LookupEnv, Folder: a.settings.Secrets}
	sender, err := webhook.New(webhook.Config{
		Request:      order(notify.Renderer{ExternalURL: a.settings.ExternalURL}),
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
