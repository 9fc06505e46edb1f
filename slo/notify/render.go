package notify

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"evenkeel.dev/bus"
)

// A Renderer turns deliveries into HTTP requests. It is pure; the zero value works.
type Renderer struct {
	// ExternalURL is where people reach the HTTP API and the console, for links; without it there are none.
	ExternalURL string
	// Timeline is the command that explains an SLO on one screen, for example "evenkeel why"; the SLO's name is put after it. ""
	// leaves the hint out.
	Timeline string
}

// Content is a request without its address. Path, when set, is joined to the target's URL unless that ends with it already.
type Content struct {
	Method string
	Path   string
	Header []bus.Field
	Body   []byte
}

// Render returns the request for a delivery. Secret is what the target's SecretFrom stands for; only PagerDuty's form needs it, and it is
// then in the body.
func (r Renderer) Render(d Delivery, secret string) (Content, error) {
	var c Content
	var err error
	switch d.Target.Type {
	case TypeAlertmanagerWebhook:
		c, err = jsonContent("", r.alertmanagerWebhook(&d))
	case TypeAlertmanager:
		c, err = jsonContent("/api/v2/alerts", r.alertmanagerAPI(&d))
	case TypePagerDuty:
		c, err = jsonContent("", r.pagerDuty(&d, secret))
	case TypeSlack:
		c, err = jsonContent("", r.slack(&d))
	case TypeCloudEvents:
		c, err = cloudEvent(&d)
	case TypeEmail:
		err = fmt.Errorf("a mail is no HTTP request; see Renderer.Mail")
	default:
		err = fmt.Errorf("type %q is not known", d.Target.Type)
	}
	if err != nil {
		return Content{}, fmt.Errorf("notify: render %s for target %s: %w", d.ID, d.Target.Name, err)
	}
	return c, nil
}

func jsonContent(path string, v any) (Content, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return Content{}, err
	}
	return Content{Method: "POST", Path: path, Header: []bus.Field{{Name: "Content-Type", Value: "application/json"}}, Body: body}, nil
}

// cloudEvent is the public event again, in binary mode over HTTP (CloudEvents HTTP protocol binding 1.0.2, section 3.1).
func cloudEvent(d *Delivery) (Content, error) {
	var data any = d.Alert
	if d.Watchdog != nil {
		data = d.Watchdog
	}
	c, err := jsonContent("", data)
	if err != nil {
		return Content{}, err
	}
	e := &d.Event
	for _, f := range []bus.Field{{Name: "ce-specversion", Value: "1.0"}, {Name: "ce-id", Value: e.ID}, {Name: "ce-source", Value: e.Source}, {Name: "ce-type", Value: e.Type}, {Name: "ce-subject", Value: e.Subject}, {Name: "ce-time", Value: e.Time}} {
		if f.Value != "" {
			c.Header = append(c.Header, bus.Field{Name: f.Name, Value: headerValue(f.Value)})
		}
	}
	return c, nil
}

// headerValue encodes an attribute as the binding asks (section 3.1.3.2): what is not printable ASCII, and space, quote and percent, as
// percent and two hexadecimal digits.
func headerValue(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c > 0x20 && c < 0x7f && c != '"' && c != '%' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

// link returns where the SLO can be looked up, or "".
func (r Renderer) link(d *Delivery) string {
	if r.ExternalURL == "" || d.Kind == KindWatchdog || d.Kind == KindTest {
		return strings.TrimSuffix(r.ExternalURL, "/")
	}
	a := &d.Alert
	return strings.TrimSuffix(r.ExternalURL, "/") + "/api/v1/slos/" + url.PathEscape(orDefault(a.GlobalNamespace)) + "/" + url.PathEscape(a.Service) + "/" + url.PathEscape(a.SLO)
}
