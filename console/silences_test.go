package console

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// fakeNotify stands for the notify stage behind silences and tests of targets.
type fakeNotify struct {
	silences []Silence
	added    []SilenceRequest
	by       []string
	expired  []string
	targets  []NotificationTarget
	tested   []string
}

func (f *fakeNotify) List(context.Context) ([]Silence, error) { return f.silences, nil }

func (f *fakeNotify) Add(_ context.Context, q SilenceRequest, by Identity) (Silence, error) {
	f.added, f.by = append(f.added, q), append(f.by, by.Name)
	return Silence{ID: "s9", GlobalNamespace: q.GlobalNamespace, Service: q.Service, Reason: q.Reason, Author: by.Name, StartsAt: "2026-01-02T15:04:05.000Z", EndsAt: "2026-01-02T17:04:05.000Z"}, nil
}

func (f *fakeNotify) Expire(_ context.Context, id string, _ Identity) error {
	f.expired = append(f.expired, id)
	return nil
}

func (f *fakeNotify) Find(_ context.Context, namespace, name string) (NotificationTarget, bool, error) {
	for _, t := range f.targets {
		if t.Namespace == namespace && t.Name == name {
			return t, true, nil
		}
	}
	return NotificationTarget{}, false, nil
}

func (f *fakeNotify) Test(_ context.Context, t NotificationTarget, by Identity) (TargetTest, error) {
	f.tested = append(f.tested, t.Key+" by "+by.Name)
	return TargetTest{ID: "test-1", Target: t.Name, Type: t.Type, Outcome: "rejected", Status: 404, Message: "the receiver answered 404"}, nil
}

const (
	tokenShopOperator  = "shop-operator-0123456789"
	tokenTwosOperator  = "two-operator-0123456789"
	silenceBody        = `{"service":"checkout","for":"2h","reason":"upgrade"}`
	silenceOf          = `{"globalNamespace":"bank","service":"checkout","for":"2h","reason":"upgrade"}`
	silenceOfNoAuthor  = `{"service":"checkout","for":"2h","reason":"upgrade","author":"mallory"}`
	silenceWithoutTime = `{"service":"checkout","for":"soon","reason":"upgrade"}`
)

func notifyServer(t *testing.T, f *fakeNotify) *Server {
	t.Helper()
	return newTestServer(t, &fakes{}, func(c *Config) {
		c.Silences, c.TargetTests = f, f
		a, err := NewAuthority([]Grant{
			{Identity{"v", Viewer, nil}, tokenViewer}, {Identity{"sv", Viewer, []string{"shop"}}, tokenShopViewer}, {Identity{"o", Operator, nil}, tokenOperator},
			{Identity{"so", Operator, []string{"shop"}}, tokenShopOperator}, {Identity{"two", Operator, []string{"shop", "lab"}}, tokenTwosOperator}, {Identity{"a", Author, nil}, tokenAuthor},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Authority = a
	})
}

// If it fails, somebody silences another team's alerts, in another's name, or for ever.
func TestSilences(t *testing.T) {
	f := &fakeNotify{silences: []Silence{
		{ID: "s1", GlobalNamespace: "shop", Service: "checkout", Tier: "page", Reason: "r", Author: "o", StartsAt: "2026-01-02T15:04:05.000Z", EndsAt: "2026-01-02T17:04:05.000Z"},
		{ID: "s2", GlobalNamespace: "bank", Service: "ledger", Reason: "r", Author: "o", StartsAt: "2026-01-02T15:04:05.000Z", EndsAt: "2026-01-02T17:04:05.000Z"},
	}}
	s := notifyServer(t, f)
	golden(t, "silences.json", ask(s, "GET", "/api/v1/silences", tokenShopViewer, "").Body.Bytes())
	golden(t, "silence.json", ask(s, "POST", "/api/v1/silences", tokenOperator, silenceOf).Body.Bytes())
	for _, c := range []struct {
		method, path, token, body string
		want                      int
	}{
		{"POST", "/api/v1/silences", tokenShopOperator, silenceBody, http.StatusOK},
		{"POST", "/api/v1/silences", tokenOperator, silenceBody, http.StatusOK},
		{"POST", "/api/v1/silences", tokenTwosOperator, silenceBody, http.StatusForbidden}, // which of its two it does not say
		{"POST", "/api/v1/silences", tokenShopOperator, silenceOf, http.StatusForbidden},
		{"POST", "/api/v1/silences", tokenViewer, silenceBody, http.StatusForbidden},
		{"POST", "/api/v1/silences", tokenAuthor, silenceBody, http.StatusForbidden},
		{"POST", "/api/v1/silences", tokenOperator, silenceOfNoAuthor, http.StatusBadRequest},
		{"POST", "/api/v1/silences", tokenOperator, silenceWithoutTime, http.StatusBadRequest},
		{"POST", "/api/v1/silences", tokenOperator, `{"reason":"` + strings.Repeat("x", maxSilenceBody) + `"}`, http.StatusBadRequest},
		{"DELETE", "/api/v1/silences/s2", tokenShopOperator, "", http.StatusNotFound},
		{"DELETE", "/api/v1/silences/s3", tokenOperator, "", http.StatusNotFound},
		{"DELETE", "/api/v1/silences/s1", tokenShopViewer, "", http.StatusForbidden},
		{"DELETE", "/api/v1/silences/s1", tokenShopOperator, "", http.StatusOK},
		{"GET", "/api/v1/repair", tokenShopOperator, "", http.StatusForbidden},
		{"POST", "/api/v1/repair", tokenShopOperator, `{}`, http.StatusForbidden},
	} {
		if w := ask(s, c.method, c.path, c.token, c.body); w.Code != c.want {
			t.Errorf("%s %s with %s: status %d, want %d: %s", c.method, c.path, c.token, w.Code, c.want, w.Body)
		}
	}
	q := SilenceRequest{Service: "checkout", For: slo.Duration(2 * bus.Hour), Reason: "upgrade"}
	bank, shop, def := q, q, q
	bank.GlobalNamespace, shop.GlobalNamespace, def.GlobalNamespace = "bank", "shop", "default"
	if diff := cmp.Diff([]SilenceRequest{bank, shop, def}, f.added); diff != "" {
		t.Errorf("added (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"o", "so", "o"}, f.by); diff != "" {
		t.Errorf("authors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"s1"}, f.expired); diff != "" {
		t.Errorf("expired (-want +got):\n%s", diff)
	}
}

// If it fails, whoever may only look sends messages to receivers, or a test of one team's target says what another's does.
func TestTargetTest(t *testing.T) {
	f := &fakeNotify{targets: []NotificationTarget{{Key: "k1", Namespace: "prod", Name: "oncall", Type: "slack", GlobalNamespace: "shop"}, {Key: "k2", Namespace: "prod", Name: "bank", Type: "slack", GlobalNamespace: "bank"}}}
	s := notifyServer(t, f)
	golden(t, "target_test.json", ask(s, "POST", "/api/v1/targets/prod/oncall/test", tokenShopOperator, "").Body.Bytes())
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"prod/bank", tokenShopOperator, http.StatusNotFound},
		{"prod/bank", tokenOperator, http.StatusOK},
		{"default/oncall", tokenOperator, http.StatusNotFound},
		{"prod/oncall", tokenShopViewer, http.StatusForbidden},
		{"prod/oncall", tokenAuthor, http.StatusForbidden},
	} {
		if w := ask(s, "POST", "/api/v1/targets/"+c.path+"/test", c.token, ""); w.Code != c.want {
			t.Errorf("%s with %s: status %d, want %d", c.path, c.token, w.Code, c.want)
		}
	}
	if diff := cmp.Diff([]string{"k1 by so", "k2 by o"}, f.tested); diff != "" {
		t.Errorf("tested (-want +got):\n%s", diff)
	}
}

// If it fails, an operator of one team sends another's dead letters again.
func TestResendStaysInTheGlobalNamespace(t *testing.T) {
	s := notifyServer(t, &fakeNotify{})
	s.Deliveries = fakeDeliveries{&fakes{deliveries: []Delivery{{ID: "ntf-1", State: "dead", GlobalNamespace: "bank"}}}}
	for token, want := range map[string]int{tokenShopOperator: http.StatusNotFound, tokenOperator: http.StatusOK} {
		if w := ask(s, "POST", "/api/v1/deliveries/ntf-1/resend", token, ""); w.Code != want {
			t.Errorf("%s: status %d, want %d", token, w.Code, want)
		}
	}
}
