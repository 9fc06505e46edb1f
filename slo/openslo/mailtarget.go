package openslo

import (
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// mailTarget has the shape of notify.MailTarget.
type mailTarget struct {
	To            []string `json:"to"`
	From          string   `json:"from"`
	SMTP          string   `json:"smtp"`
	User          string   `json:"user,omitempty"`
	AllowInsecure bool     `json:"allowInsecure,omitempty"`
}

// mailToMax is notify's: one message names all addresses.
const mailToMax = 50

// mail reads the annotations of a target of type email.
func (r *run) mail(d *mesh.Document, a map[string]string, t *target) {
	m := &mailTarget{From: a[AnnotationMailFrom], SMTP: a[AnnotationSMTP], User: a[AnnotationSMTPUser], AllowInsecure: r.flag(d, a, AnnotationAllowInsecure, false)}
	t.Mail = m
	for _, name := range []string{AnnotationURL, AnnotationURLFrom} {
		if _, ok := a[name]; ok {
			r.add(d.KeyProblem(annotationPath(name), name+" is not for target email", "write "+AnnotationSMTP+": host:port"))
		}
	}
	for _, need := range []struct{ name, hint string }{
		{AnnotationMailTo, "oncall@example.com"}, {AnnotationMailFrom, "evenkeel@example.com"}, {AnnotationSMTP, "mail.example.com:587"},
	} {
		if _, ok := a[need.name]; !ok {
			r.absent(d, annotationPath(need.name), "target email needs the annotation "+need.name, "for example "+need.name+": "+need.hint)
		}
	}
	if text, ok := a[AnnotationMailTo]; ok && stringAt(d, annotationPath(AnnotationMailTo)) {
		m.To = r.mailTo(d, text)
	}
	if text, ok := a[AnnotationMailFrom]; ok && stringAt(d, annotationPath(AnnotationMailFrom)) && !mailAddress(text) {
		r.add(d.Problem(annotationPath(AnnotationMailFrom), fmt.Sprintf("%q is no mail address", text), "for example Evenkeel <evenkeel@example.com>"))
	}
	if text, ok := a[AnnotationSMTP]; ok && stringAt(d, annotationPath(AnnotationSMTP)) && !hostPort(text) {
		r.add(d.Problem(annotationPath(AnnotationSMTP), fmt.Sprintf("%q is not host:port", text), "for example mail.example.com:587; port 465 speaks TLS from the start, others STARTTLS"))
	}
	if m.User != "" && t.SecretFrom == "" {
		r.add(d.KeyProblem(annotationPath(AnnotationSMTPUser), AnnotationSMTPUser+" stands without a password", "write the annotation "+AnnotationSecretFrom+": env:NAME or file:PATH"))
	}
	if strings.ContainsFunc(m.User, unicode.IsControl) {
		r.add(d.Problem(annotationPath(AnnotationSMTPUser), AnnotationSMTPUser+" holds control characters", ""))
	}
}

// noMail refuses annotations that only a target of type email has.
func (r *run) noMail(d *mesh.Document, a map[string]string) {
	for _, name := range []string{AnnotationMailTo, AnnotationMailFrom, AnnotationSMTP, AnnotationSMTPUser, AnnotationAllowInsecure} {
		if _, ok := a[name]; ok {
			r.add(d.KeyProblem(annotationPath(name), name+" is for target email only", ""))
		}
	}
}

// mailTo reads a list of addresses, each of which may be "Name <address>".
func (r *run) mailTo(d *mesh.Document, text string) []string {
	at := annotationPath(AnnotationMailTo)
	list, err := mail.ParseAddressList(text)
	switch {
	case err != nil:
		r.add(d.Problem(at, fmt.Sprintf("%q is no list of mail addresses", text), "for example oncall@example.com, Payments <payments@example.com>"))
		return nil
	case len(list) > mailToMax:
		r.add(d.Problem(at, fmt.Sprintf("%d addresses are too many; at most %d", len(list), mailToMax), "use a mailing list"))
		return nil
	}
	var out []string
	for _, a := range list {
		one := a.Address
		if a.Name != "" {
			one = a.String()
		}
		if !mailAddress(one) {
			r.add(d.Problem(at, fmt.Sprintf("%q holds characters that not every mail server takes", a.Address), "for example oncall@example.com"))
			continue
		}
		out = append(out, one)
	}
	return out
}

// mailAddress reports whether notify.MailAddress takes the text.
func mailAddress(text string) bool {
	a, err := mail.ParseAddress(text)
	if err != nil || len(a.Address) > 254 || strings.ContainsFunc(text, unicode.IsControl) {
		return false
	}
	return !strings.ContainsFunc(a.Address, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '<' || c == '>' })
}

// hostPort reports whether notify.MailHost takes the text.
func hostPort(text string) bool {
	i := strings.LastIndexByte(text, ':')
	if i < 1 {
		return false
	}
	host := strings.TrimSuffix(strings.TrimPrefix(text[:i], "["), "]")
	port, err := strconv.Atoi(text[i+1:])
	return err == nil && port >= 1 && port <= 65535 && host != "" && !strings.ContainsAny(host, "/@[] ") && !strings.ContainsFunc(host, unicode.IsControl) &&
		strings.Contains(host, ":") == strings.HasPrefix(text, "[")
}

// span reads an annotation that is a duration within bounds (most 0: none), nil where it is absent.
func (r *run) span(d *mesh.Document, a map[string]string, name string, least, most bus.Time, hint string) *slo.Duration {
	text, ok := a[name]
	if !ok || !stringAt(d, annotationPath(name)) {
		return nil
	}
	v, err := slo.ParseDuration(text)
	switch {
	case most == 0 && (err != nil || v.Time() < least):
		r.add(d.Problem(annotationPath(name), fmt.Sprintf("%q is not a duration of at least %s", text, slo.Duration(least)), hint))
	case most != 0 && (err != nil || v.Time() < least || v.Time() > most):
		r.add(d.Problem(annotationPath(name), fmt.Sprintf("%q is not a duration from %s to %s", text, slo.Duration(least), slo.Duration(most)), hint))
	}
	return &v
}

// groupNames are what a target may group by, as it is written and as notify knows it.
func groupNames() [][2]string {
	return [][2]string{{"global-namespace", "globalNamespace"}, {"service", "service"}, {"severity", "severity"}}
}

// grouping reads what alerts in one message have in common.
func (r *run) grouping(d *mesh.Document, a map[string]string, t *target) {
	t.GroupWait = r.span(d, a, AnnotationGroupWait, bus.Second, 10*bus.Minute, "for example 30s")
	at := annotationPath(AnnotationGroupBy)
	text, ok := a[AnnotationGroupBy]
	if !ok {
		if t.GroupWait != nil {
			r.add(d.KeyProblem(annotationPath(AnnotationGroupWait), AnnotationGroupWait+" stands without "+AnnotationGroupBy, "write for example "+AnnotationGroupBy+": service"))
		}
		return
	}
	switch t.Type {
	case typePagerDuty, typeAlertmanager, typeCloudEvents:
		r.add(d.KeyProblem(at, "target "+t.Type+" takes one alert a message", "leave "+AnnotationGroupBy+" out; alertmanager-webhook, slack and email can say several"))
		return
	}
	if !stringAt(d, at) {
		return
	}
	for _, word := range strings.Split(text, ",") {
		word = strings.TrimSpace(word)
		i := slices.IndexFunc(groupNames(), func(n [2]string) bool { return n[0] == word })
		switch {
		case i < 0:
			r.add(d.Problem(at, fmt.Sprintf("alerts cannot be grouped by %q", word), "a list of global-namespace, service, severity"))
		case slices.Contains(t.GroupBy, groupNames()[i][1]):
			r.add(d.Problem(at, fmt.Sprintf("%q stands twice", word), ""))
		default:
			t.GroupBy = append(t.GroupBy, groupNames()[i][1])
		}
	}
}
