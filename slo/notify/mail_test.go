package notify

import (
	"bytes"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/slo"
)

func FuzzMail(f *testing.F) {
	// Whoever names an SLO or annotates an alert could add recipients, headers or parts to our mails, or make one that no program reads.
	f.Add("Checkout", "availability", "call\nops", "https://r.example.com", "Evenkeel <e@example.com>")
	f.Add("a\r\nBcc: x@example.com", "\r\n\r\n--evenkeel-", ".\r\n", "javascript:x", "=?utf-8?q?=C3=A4?= <e@example.com>")
	f.Fuzz(func(t *testing.T, display, name, note, runbook, from string) {
		target := Target{Name: name, Type: TypeEmail, Mail: &MailTarget{To: []string{from, "b@example.com"}, From: from, SMTP: "mail.example.com:25"}}
		d := Delivery{Kind: KindAlert, ID: "ntf-1", Target: target, Alert: slo.AlertEvent{ID: "a", State: slo.AlertResolved, Service: name, SLO: name, DisplayName: display, Runbook: runbook, Annotations: map[string]string{"description": note}}}
		m, err := Renderer{}.Mail(d)
		if err != nil {
			if _, bad := MailAddress(from); bad == nil && name != "" {
				t.Fatal(err)
			}
			return
		}
		read, err := mail.ReadMessage(bytes.NewReader(m.Data))
		if err != nil {
			t.Fatalf("%v:\n%s", err, m.Data)
		}
		want := []string{"Auto-Submitted", "Content-Type", "Date", "From", "In-Reply-To", "Message-Id", "Mime-Version", "References", "Subject", "To", "X-Evenkeel-Delivery"}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(read.Header))); diff != "" {
			t.Fatalf("headers (-want +got): %s", diff)
		}
		if to, err := read.Header.AddressList("To"); err != nil || len(to) != 2 || len(m.To) != 2 {
			t.Fatalf("recipients %v, %v", to, err)
		}
		for _, l := range strings.Split(string(m.Data), "\r\n") {
			if len(l) > 998 || strings.ContainsAny(l, "\r\n") {
				t.Fatalf("a line of %d bytes, or one that ends otherwise", len(l))
			}
		}
		checkParts(t, read)
	})
}

// checkParts reads both parts.
func checkParts(t *testing.T, m *mail.Message) {
	t.Helper()
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(p); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, p.Header.Get("Content-Type"))
	}
	if diff := cmp.Diff([]string{"text/plain; charset=utf-8", "text/html; charset=utf-8"}, kinds); diff != "" {
		t.Fatalf("parts (-want +got): %s", diff)
	}
}
