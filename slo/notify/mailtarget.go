package notify

import (
	"fmt"
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
)

// A MailTarget says how a target of type email is reached.
type MailTarget struct {
	To   []string `json:"to"`   // addresses, each also as "Name <address>"
	From string   `json:"from"` // one address, likewise
	SMTP string   `json:"smtp"` // host:port of the server that takes the mail; port 465 speaks TLS from the start, others STARTTLS
	User string   `json:"user,omitempty"`
	// AllowInsecure sends in the clear. Otherwise only a loopback host is spoken to without TLS.
	AllowInsecure bool `json:"allowInsecure,omitempty"`
}

// MailToMax is how many addresses a target may have: one message names all of them.
const MailToMax = 50

func (t Target) validateMail() error {
	m := t.Mail
	if t.URL != "" || t.URLFrom != "" {
		return fmt.Errorf("url: is not for type email; smtp says where to send")
	}
	if len(m.To) == 0 || len(m.To) > MailToMax {
		return fmt.Errorf("mail.to: has %d addresses; from 1 to %d are possible", len(m.To), MailToMax)
	}
	for _, to := range m.To {
		if _, err := MailAddress(to); err != nil {
			return fmt.Errorf("mail.to: %w", err)
		}
	}
	if _, err := MailAddress(m.From); err != nil {
		return fmt.Errorf("mail.from: %w", err)
	}
	if _, _, err := MailHost(m.SMTP); err != nil {
		return fmt.Errorf("mail.smtp: %w", err)
	}
	if m.User != "" && (t.SecretFrom == "" || !plain(m.User)) {
		return fmt.Errorf("mail.user: needs a password in secretFrom, and may hold no control characters")
	}
	return nil
}

// MailAddress reads one address. It refuses what could break out of a header or of the dialogue with the server, and what only servers
// with SMTPUTF8 take.
func MailAddress(text string) (*mail.Address, error) {
	if !plain(text) {
		return nil, fmt.Errorf("%q holds control characters", text)
	}
	a, err := mail.ParseAddress(text)
	if err != nil || len(a.Address) > 254 {
		return nil, fmt.Errorf("%q is no mail address; write for example oncall@example.com", text)
	}
	for i := range len(a.Address) {
		if c := a.Address[i]; c <= ' ' || c >= 0x7f || c == '<' || c == '>' {
			return nil, fmt.Errorf("%q holds characters that not every mail server takes; write for example oncall@example.com", text)
		}
	}
	return a, nil
}

// MailHost cuts host:port.
func MailHost(address string) (host string, port int, err error) {
	i := strings.LastIndexByte(address, ':')
	if i >= 0 {
		host = strings.TrimSuffix(strings.TrimPrefix(address[:i], "["), "]")
		port, err = strconv.Atoi(address[i+1:])
	}
	if i < 0 || err != nil || port < 1 || port > 65535 || host == "" || strings.ContainsAny(host, "/@[] \t\r\n") || strings.Contains(host, ":") != strings.HasPrefix(address, "[") {
		return "", 0, fmt.Errorf("%q is not host:port; write for example mail.example.com:587", address)
	}
	if !plain(host) {
		return "", 0, fmt.Errorf("%q holds control characters", address)
	}
	return host, port, nil
}

// Insecure reports whether the server is spoken to without TLS: because the definition says so, or because it is this machine.
func (m *MailTarget) Insecure() bool {
	if m.AllowInsecure {
		return true
	}
	host, _, err := MailHost(m.SMTP)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// Sign-on name: the user, or else the sender's address.
func (m *MailTarget) user() string {
	if m.User != "" {
		return m.User
	}
	a, err := MailAddress(m.From)
	if err != nil {
		return ""
	}
	return a.Address
}
