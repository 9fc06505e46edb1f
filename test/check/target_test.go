package check

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/yaml"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/notify"
)

// compileTarget compiles a target with these annotations.
func compileTarget(t *testing.T, typ, annotations string) (notify.Target, string) {
	t.Helper()
	text := fmt.Sprintf("apiVersion: openslo/v1\nkind: AlertNotificationTarget\nmetadata:\n  name: a\n  annotations:\n    %s\nspec:\n  target: %s\n", strings.ReplaceAll(annotations, "\n", "\n    "), typ)
	docs, problems := yaml.Parse("a.yaml", []byte(text))
	ds, more := kinds(t).Compile(docs, nil)
	if problems = append(problems, more...); len(problems) > 0 {
		return notify.Target{}, fmt.Sprint(problems)
	}
	var target notify.Target
	if err := json.Unmarshal(ds[0].Compiled, &target); err != nil {
		t.Fatal(err)
	}
	return target, ""
}

// A target that check calls right would be thrown away by the notify stage, or an annotation have no effect.
func TestTargetsAsTheStageReadsThem(t *testing.T) {
	const mail = "evenkeel.dev/mail-to: 'Ärzte <oncall@example.com>, b@example.com'\nevenkeel.dev/mail-from: Evenkeel <evenkeel@example.com>\nevenkeel.dev/smtp: '[2001:db8::1]:587'"
	addresses := &notify.MailTarget{To: []string{"=?utf-8?q?=C3=84rzte?= <oncall@example.com>", "b@example.com"}, From: "Evenkeel <evenkeel@example.com>", SMTP: "[2001:db8::1]:587"}
	insecure := *addresses
	insecure.User, insecure.AllowInsecure = "relay", true
	for _, c := range []struct {
		typ, annotations string
		want             notify.Target
	}{
		{"Email", mail, notify.Target{Type: notify.TypeEmail, Mail: addresses}},
		{"e-mail", mail + "\nevenkeel.dev/allow-insecure: 'true'\nevenkeel.dev/smtp-user: relay\nevenkeel.dev/secret-from: file:smtp\nevenkeel.dev/allow-private: 'true'",
			notify.Target{Type: notify.TypeEmail, Mail: &insecure, SecretFrom: "file:smtp", AllowPrivate: true}},
		{"slack", "evenkeel.dev/url-from: file:slack\nevenkeel.dev/group-by: severity, global-namespace\nevenkeel.dev/group-wait: 1m\nevenkeel.dev/cool-down: 15m\nevenkeel.dev/inhibit: 'false'",
			notify.Target{Type: notify.TypeSlack, URLFrom: "file:slack", GroupBy: []string{notify.GroupBySeverity, notify.GroupByNamespace}, GroupWait: slo.Duration(bus.Minute), CoolDown: slo.Duration(15 * bus.Minute), NoInhibit: true}},
	} {
		c.want.Name, c.want.GlobalNamespace = "a", "default"
		got, problems := compileTarget(t, c.typ, c.annotations)
		if diff := cmp.Diff(c.want, got); diff != "" || problems != "" {
			t.Errorf("%s: %s (-want +got):\n%s", c.annotations, problems, diff)
			continue
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s: the stage refuses it: %v", c.annotations, err)
		}
	}
}

// A target that the stage refuses would pass check, and alerts would be lost at night.
func FuzzTargets(f *testing.F) {
	f.Add("a@example.com", "b@example.com", "m:25", "1m", "service")
	f.Add("a <a@b>, c@d", "x@y\r\nBcc: z@z", "[::1]:25", "3d", "a,b")
	f.Fuzz(func(t *testing.T, to, from, smtp, coolDown, groupBy string) {
		quote := func(s string) string {
			b, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		root, err := mesh.ReadJSON([]byte(`{"apiVersion":"openslo/v1","kind":"AlertNotificationTarget","metadata":{"name":"a","annotations":{"evenkeel.dev/mail-to":` + quote(to) +
			`,"evenkeel.dev/mail-from":` + quote(from) + `,"evenkeel.dev/smtp":` + quote(smtp) + `,"evenkeel.dev/cool-down":` + quote(coolDown) + `,"evenkeel.dev/group-by":` + quote(groupBy) + `}},"spec":{"target":"email"}}`))
		if err != nil {
			return
		}
		doc, problems := mesh.NewDocument("a.json", "", root)
		if len(problems) > 0 {
			return
		}
		ds, problems := kinds(t).Compile([]mesh.Document{doc}, nil)
		if len(problems) > 0 {
			return
		}
		var target notify.Target
		if err := json.Unmarshal(ds[0].Compiled, &target); err != nil {
			t.Fatal(err)
		}
		if err := target.Validate(); err != nil {
			t.Errorf("check takes it, the stage does not: %v", err)
		}
	})
}
