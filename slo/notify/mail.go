package notify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"mime"
	"mime/quotedprintable"
	"strconv"
	"strings"

	"evenkeel.dev/slo"
)

// Mail is a message ready to be handed to a mail server.
type Mail struct {
	SMTP     string // host:port
	User     string // for signing on with the target's secret
	Insecure bool   // no TLS is asked for
	From     string // of the envelope, as To
	To       []string
	Data     []byte // RFC 5322, with lines that end in CR LF
}

const mailSubjectMax = 200 // characters

// Mail renders a delivery to a target of type email: text and HTML of the same content. The Message-ID is that of the delivery, the same for
// all attempts, and an end answers to the message that told the beginning, so that mail programs show them as one thread.
func (r Renderer) Mail(d Delivery) (Mail, error) {
	t := d.Target.Mail
	if d.Target.Type != TypeEmail || t == nil {
		return Mail{}, fmt.Errorf("notify: render %s: target %s is of type %s", d.ID, d.Target.Name, d.Target.Type)
	}
	if err := d.Target.validateMail(); err != nil {
		return Mail{}, fmt.Errorf("notify: render %s for target %s: %w", d.ID, d.Target.Name, err)
	}
	from, err := MailAddress(t.From)
	if err != nil {
		return Mail{}, err
	}
	m := Mail{SMTP: t.SMTP, User: t.user(), Insecure: t.Insecure(), From: from.Address}
	var to []string
	for _, text := range t.To {
		a, err := MailAddress(text)
		if err != nil {
			return Mail{}, err
		}
		m.To, to = append(m.To, a.Address), append(to, a.String())
	}
	domain := from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", from.String())
	header("To", strings.Join(to, ",\r\n "))
	header("Subject", mailSubject(&d))
	header("Date", d.At.Std().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	header("Message-ID", messageID(d.ID, domain))
	if replies := mailReplies(&d); len(replies) > 0 {
		for i, id := range replies {
			replies[i] = messageID(id, domain)
		}
		header("In-Reply-To", replies[0])
		header("References", strings.Join(replies, "\r\n "))
	}
	header("Auto-Submitted", "auto-generated") // RFC 3834: no answers of absence, please
	header("X-Evenkeel-Delivery", d.ID)
	m.Data = append(b.Bytes(), r.mailBody(&d)...)
	return m, nil
}

func messageID(id, domain string) string { return "<" + id + "@" + domain + ">" }

// mailReplies are the deliveries that this one answers to.
func mailReplies(d *Delivery) []string {
	if d.Group != nil || len(d.Replies) > 0 {
		return append([]string{}, d.Replies...)
	}
	if d.Kind == KindAlert && d.Alert.State == slo.AlertResolved {
		return []string{deliveryID(d.Alert.ID, slo.AlertFiring, d.TargetKey)}
	}
	return nil
}

// mailSubject is one line. Whatever is in it becomes encoded words, so that it cannot end the line.
func mailSubject(d *Delivery) string {
	text := summary(d)
	switch {
	case d.Group != nil:
		text = groupSummary(d)
	case d.Kind == KindAlert && d.Alert.State == slo.AlertResolved:
		text = "[RESOLVED] " + text
	case d.Kind == KindAlert:
		text = "[FIRING] " + text
	}
	words := mime.QEncoding.Encode("utf-8", cut(text, mailSubjectMax))
	return strings.ReplaceAll(words, "?= =?", "?=\r\n =?")
}

// mailBody is what follows the headers that name the message: multipart/alternative.
func (r Renderer) mailBody(d *Delivery) []byte {
	sum := sha256.Sum256([]byte("boundary " + d.ID))
	boundary := "evenkeel-" + hex.EncodeToString(sum[:16])
	var b bytes.Buffer
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=%s\r\n", boundary)
	for _, part := range []struct{ kind, text string }{{"text/plain", r.mailText(d)}, {"text/html", r.mailHTML(d)}} {
		fmt.Fprintf(&b, "\r\n--%s\r\nContent-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", boundary, part.kind)
		w := quotedprintable.NewWriter(&b)
		text := strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n", "\r", " ").Replace(part.text)
		_, _ = w.Write([]byte(text)) // a buffer takes all
		_ = w.Close()
	}
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.Bytes()
}

// A mailRow is a name and a value, or a link.
type mailRow struct{ name, value string }

// mailRows are what is said of one alert below its summary.
func (r Renderer) mailRows(d *Delivery) []mailRow {
	a := &d.Alert
	if d.Kind == KindTest {
		return []mailRow{{"Test", description(d)}}
	}
	rows := []mailRow{{"SLO", orDefault(a.GlobalNamespace) + " / " + a.Service + " / " + a.SLO}, {"What", description(d)}}
	if text := a.Annotations["description"]; text != "" {
		rows = append(rows, mailRow{"Note", text})
	}
	for _, row := range []mailRow{{"Runbook", a.Runbook}, {"Status", r.link(d)}, {"Timeline", r.timeline(d)}} {
		if row.value != "" {
			rows = append(rows, row)
		}
	}
	return rows
}

func (r Renderer) mailText(d *Delivery) string {
	var b strings.Builder
	if d.Group != nil {
		b.WriteString(groupSummary(d) + "\n\n")
	}
	for _, one := range d.each() {
		b.WriteString(mailState(&one) + summary(&one) + "\n")
		for _, row := range r.mailRows(&one) {
			b.WriteString(row.name + ": " + strings.ReplaceAll(row.value, "\n", "\n  ") + "\n")
		}
		b.WriteByte('\n')
	}
	if more := truncated(d); more > 0 {
		b.WriteString("and " + strconv.Itoa(more) + " more\n\n")
	}
	return b.String() + mailFoot(d) + "\n"
}

func (r Renderer) mailHTML(d *Delivery) string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<html><body style=\"font-family:sans-serif\">\n")
	if d.Group != nil {
		b.WriteString("<h2>" + html.EscapeString(groupSummary(d)) + "</h2>\n")
	}
	for _, one := range d.each() {
		b.WriteString("<h3>" + html.EscapeString(mailState(&one)+summary(&one)) + "</h3>\n<table>\n")
		for _, row := range r.mailRows(&one) {
			value := strings.ReplaceAll(html.EscapeString(row.value), "\n", "<br>\n")
			if webAddress(row.value) {
				value = `<a href="` + html.EscapeString(row.value) + `">` + value + "</a>"
			}
			b.WriteString("<tr><th align=\"left\" valign=\"top\">" + row.name + "</th><td>" + value + "</td></tr>\n")
		}
		b.WriteString("</table>\n")
	}
	if more := truncated(d); more > 0 {
		b.WriteString("<p>and " + strconv.Itoa(more) + " more</p>\n")
	}
	return b.String() + "<p><small>" + html.EscapeString(mailFoot(d)) + "</small></p>\n</body></html>\n"
}

func truncated(d *Delivery) int {
	if d.Group == nil {
		return 0
	}
	return d.Group.Truncated
}

// mailState begins the line of one alert.
func mailState(d *Delivery) string {
	switch {
	case d.Kind == KindTest:
		return ""
	case d.Alert.State == slo.AlertResolved:
		return "Resolved: "
	}
	return "Firing: "
}

func mailFoot(d *Delivery) string {
	return "Sent by Evenkeel to the notification target " + d.Target.Name + ", delivery " + d.ID + "."
}
