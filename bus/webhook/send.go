package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"evenkeel.dev/bus"
)

// Sentences of results. There are no others, so that no secret can get out.
const (
	msgExpired     = "the order had lapsed before it could be sent"
	msgLate        = "the message before it was never sent"
	msgURLRef      = "the reference urlFrom cannot be resolved; it must name a variable or file that is set aside for secrets"
	msgSecretRef   = "the reference secretFrom cannot be resolved; it must name a variable or file that is set aside for secrets"
	msgSecretForm  = "the secret is not of the form whsec_ and base64 of 24 to 64 bytes"
	msgURL         = "the URL is not an http or https URL"
	msgRender      = "the message cannot be rendered"
	msgPrivate     = "the address is private or loopback, and allowPrivate is not set"
	msgLinkLocal   = "the address is link-local or reserved, which is never allowed"
	msgRedirect    = "the receiver redirects, which is not followed; use the address it redirects to"
	msgNoName      = "the receiver's name cannot be resolved"
	msgTimeout     = "no answer in time"
	msgRefused     = "the connection was refused"
	msgUnknownCA   = "the receiver's certificate is signed by an unknown authority"
	msgWrongName   = "the receiver's certificate is for another name"
	msgBadCert     = "the receiver's certificate cannot be verified"
	msgTLS         = "the TLS handshake failed"
	msgBroken      = "the connection broke"
	retryAfterMax  = 24 * bus.Hour
	responseMax    = 4 << 10 // bytes of an answer that are read, so that the connection can be used again
	reportTries    = 3
	reportInterval = time.Second
)

// attempt sends a request once and says what came of it.
func (s *Sender) attempt(ctx context.Context, r *Request) Result {
	res := Result{ID: r.ID, Attempt: r.Attempt}
	switch {
	case s.hasLapsed(r.Follows):
		res.Outcome, res.Message = Late, msgLate
		return res
	case r.NotAfter > 0 && bus.TimeOf(s.c.Now()) > r.NotAfter:
		s.lapse(r.ID)
		res.Outcome, res.Message = Expired, msgExpired
		return res
	}
	// What has begun comes to its end, so that a stop of the process makes no doubt about it.
	timeout := s.c.Timeout
	if r.Timeout > 0 {
		timeout = r.Timeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if r.Carry != nil {
		return s.carry(ctx, r)
	}
	req, message := s.build(ctx, r)
	if message != "" {
		// It is retried, since what is wrong is here and may be mended; a wrong URL is not.
		res.Outcome, res.Message = Retry, message
		if message == msgURL {
			res.Outcome = Rejected
		}
		return res
	}
	s.setSent(r.ID)
	client := s.public
	if r.AllowPrivate {
		client = s.private
	}
	answer, err := client.Do(req)
	if err != nil {
		res.Outcome, res.Message = classify(err)
		return res
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, responseMax)
	s.judge(&res, answer)
	return res
}

// carry has a request carried out by its own function.
func (s *Sender) carry(ctx context.Context, r *Request) Result {
	secret := ""
	if r.SecretFrom != "" {
		v, err := s.c.Resolve(r.SecretFrom)
		if err != nil {
			return Result{ID: r.ID, Attempt: r.Attempt, Outcome: Retry, Message: msgSecretRef}
		}
		secret = strings.TrimSpace(v)
	}
	s.setSent(r.ID)
	res := r.Carry(ctx, secret)
	res.ID, res.Attempt = r.ID, r.Attempt
	return res
}

// build makes the HTTP request, or says what is in the way.
func (s *Sender) build(ctx context.Context, r *Request) (req *http.Request, message string) {
	address := r.URL
	if r.URLFrom != "" {
		v, err := s.c.Resolve(r.URLFrom)
		if err != nil {
			return nil, msgURLRef
		}
		address = strings.TrimSpace(v)
	}
	secret := ""
	if r.SecretFrom != "" {
		v, err := s.c.Resolve(r.SecretFrom)
		if err != nil {
			return nil, msgSecretRef
		}
		secret = strings.TrimSpace(v)
	}
	content, err := r.Render(secret)
	if err != nil {
		return nil, msgRender
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, msgURL
	}
	if content.Path != "" && !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), content.Path) {
		u = u.JoinPath(content.Path)
	}
	req, err = http.NewRequestWithContext(ctx, content.Method, u.String(), bytes.NewReader(content.Body))
	if err != nil {
		return nil, msgURL
	}
	return req, s.head(req, r, &content, secret)
}

// head sets the headers, or says what is in the way.
func (s *Sender) head(req *http.Request, r *Request, c *Content, secret string) (message string) {
	for _, f := range c.Header {
		req.Header.Set(f.Name, f.Value)
	}
	ts := strconv.FormatInt(s.c.Now().Unix(), 10)
	req.Header.Set("User-Agent", s.c.UserAgent)
	req.Header.Set("Webhook-Id", r.ID)
	req.Header.Set("Webhook-Timestamp", ts)
	if r.Sign {
		signature, err := sign(secret, r.ID, ts, c.Body)
		if err != nil {
			return msgSecretForm
		}
		req.Header.Set("Webhook-Signature", signature)
	}
	return ""
}

// judge makes an answer's status into an outcome.
func (s *Sender) judge(res *Result, answer *http.Response) {
	res.Status = answer.StatusCode
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		res.Outcome = Delivered
		return
	case code >= 300 && code < 400:
		res.Outcome, res.Message = Rejected, msgRedirect
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		res.Outcome, res.Message = Retry, "the receiver answered "+strconv.Itoa(code)
		res.RetryAfter = retryAfter(answer.Header.Get("Retry-After"), s.c.Now())
	default:
		res.Outcome, res.Message = Rejected, "the receiver answered "+strconv.Itoa(code)
	}
}

// retryAfter reads the header in either form: seconds, or a date. What is no such thing is 0.
func retryAfter(v string, now time.Time) bus.Time {
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(bus.Time(n)*bus.Second, retryAfterMax)
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return max(0, min(bus.TimeOf(t)-bus.TimeOf(now), retryAfterMax))
}

// report counts a result and appends it to the log. A result that is lost leads to another order.
func (s *Sender) report(ctx context.Context, res Result) {
	switch res.Outcome {
	case Delivered:
		s.stats.Delivered.Add(1)
	case Retry:
		s.stats.Retry.Add(1)
	case Rejected:
		s.stats.Rejected.Add(1)
	case Expired:
		s.stats.Expired.Add(1)
	case Late:
		s.stats.Late.Add(1)
	}
	data, err := json.Marshal(res)
	if err != nil {
		s.stats.AppendFailed.Add(1)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTries*reportInterval+s.c.DialTimeout)
	defer cancel()
	for try := 1; ; try++ {
		if _, err := s.c.Append(ctx, bus.Message{Subject: s.c.Subject, Data: data}); err == nil {
			return
		}
		if try == reportTries {
			s.stats.AppendFailed.Add(1)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(reportInterval):
		}
	}
}
