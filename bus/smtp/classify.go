package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"syscall"
)

// Sentences of answers. There are no others, but for replies with their code and what Config.Check says.
const (
	msgServer    = "the mail server's address is not host:port"
	msgAddress   = "an address of the mail cannot be said to a mail server"
	msgPassword  = "the user or password holds characters that cannot be said to a mail server"
	msgNoTLS     = "the mail server offers no STARTTLS; without encryption nothing is sent unless allow-insecure is set"
	msgNoAuth    = "the mail server offers no sign-on that is known here (PLAIN, LOGIN)"
	msgNoName    = "the mail server's name cannot be resolved"
	msgTimeout   = "no answer in time"
	msgRefused   = "the connection was refused"
	msgUnknownCA = "the mail server's certificate is signed by an unknown authority"
	msgWrongName = "the mail server's certificate is for another name"
	msgBadCert   = "the mail server's certificate cannot be verified"
	msgTLS       = "the TLS handshake failed"
	msgTooLong   = "the mail server says more than a mail server has to say"
	msgAuth      = "the mail server leads a sign-on that is not known here"
	msgBroken    = "the connection broke"
)

var (
	errTooLong = errors.New("smtp: too long a dialogue")
	errAuth    = errors.New("smtp: unexpected question")
)

// forbidden is an address that may not be connected to.
type forbidden struct{ err error }

// Error returns why.
func (f *forbidden) Error() string { return f.err.Error() }

// classify makes an error into an answer. To is what the server replied to.
func classify(to string, err error) Answer {
	var reply *textproto.Error
	var no *forbidden
	if errors.As(err, &no) {
		return Answer{Outcome: Rejected, Message: no.Error()}
	}
	if errors.As(err, &reply) {
		a := Answer{Outcome: Retry, Code: reply.Code, Message: "the mail server answered " + strconv.Itoa(reply.Code) + " to " + to}
		if reply.Code >= 500 && reply.Code < 600 {
			a.Outcome = Rejected
		}
		return a
	}
	return Answer{Outcome: Retry, Message: sentence(err)}
}

func sentence(err error) string {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return msgNoName
	case errors.As(err, &authority):
		return msgUnknownCA
	case errors.As(err, &name):
		return msgWrongName
	case errors.As(err, &verify):
		return msgBadCert
	case errors.As(err, &record), errors.As(err, &alert):
		return msgTLS
	case errors.Is(err, errTooLong):
		return msgTooLong
	case errors.Is(err, errAuth):
		return msgAuth
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return msgTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return msgRefused
	}
	return msgBroken
}
