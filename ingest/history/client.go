package history

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Rules of asking a server.
const (
	tries        = 6
	firstPause   = 250 * time.Millisecond // doubled after each try
	maxPause     = 30 * time.Second       // also of a Retry-After
	silence      = 130 * time.Second      // without a byte: longer than Prometheus gives a query
	silentTries  = 2
	maxRedirects = 5
	maxErrorBody = 64 << 10
	maxErrorText = 300
	maxSecret    = 64 << 10
)

// A client asks one server, again where that may help.
type client struct {
	base    *url.URL
	http    http.Client
	config  Config
	silence time.Duration
	pause   time.Duration
}

func newClient(c Config) (*client, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, errors.New("the URL cannot be read; write for example http://prometheus:9090")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("%q is no URL of a Prometheus; write for example http://prometheus:9090", u.Redacted())
	case u.User != nil:
		return nil, errors.New("the URL holds a user or a password, which others on this machine could see; write them into a file for basic authentication")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the URL has a query or a fragment; write the part before it")
	case c.BearerTokenFile != "" && c.BasicAuthFile != "":
		return nil, errors.New("a bearer token and basic authentication go not together; choose one")
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 2,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the authority's certificate: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", c.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	cl := &client{base: u, config: c, silence: silence, pause: firstPause}
	cl.http = http.Client{Transport: transport, CheckRedirect: checkRedirect}
	return cl, nil
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return finalError{fmt.Errorf("it redirects more than %d times", maxRedirects)}
	case via[0].URL.Scheme == "https" && req.URL.Scheme != "https":
		return finalError{errors.New("it redirects from HTTPS to HTTP, which is refused")}
	case req.Method != via[0].Method:
		return finalError{fmt.Errorf("it redirects to %s://%s in a way that drops the question (301, 302 or 303); ask there", req.URL.Scheme, req.URL.Host)}
	}
	return nil
}

// A statusError is an answer that is no success.
type statusError struct {
	status int
	text   string
	after  time.Duration // of a Retry-After
}

func (e *statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the server answers %d %s: %s", e.status, http.StatusText(e.status), e.text))
}

var errSilent = errors.New("the server has been silent")

// A finalError is not asked again.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// post asks until read has taken an answer. What read has taken of an answer that then broke off it must forget.
func (c *client) post(ctx context.Context, path string, header http.Header, body []byte, read func(*http.Response) error) error {
	pause := c.pause
	for n := 1; ; n++ {
		err := c.once(ctx, path, header, body, read)
		if err == nil || ctx.Err() != nil || !again(err) {
			return err
		}
		if n == tries || n == silentTries && errors.Is(err, errSilent) {
			return fmt.Errorf("after %d tries: %w", tries, err)
		}
		wait := pause
		var se *statusError
		if errors.As(err, &se) && se.after > 0 {
			wait = se.after
		}
		timer := time.NewTimer(min(wait, maxPause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		pause *= 2
	}
}

// again reports whether another try may end better.
func again(err error) bool {
	var final finalError
	var se *statusError
	switch {
	case errors.Is(limited(err), errTooLarge), errors.As(err, &final):
		return false
	case errors.As(err, &se):
		return se.status == http.StatusTooManyRequests || se.status >= 500 && se.status != http.StatusNotImplemented
	}
	return true
}

func (c *client) once(ctx context.Context, path string, header http.Header, body []byte, read func(*http.Response) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(c.silence, func() { cancel(fmt.Errorf("%w for %v", errSilent, c.silence)) })
	defer watch.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return finalError{err}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", "Evenkeel")
	if err := c.authorize(req); err != nil {
		return finalError{err}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return plainError(ctx, err)
	}
	defer resp.Body.Close()
	resp.Body = &watched{ReadCloser: resp.Body, timer: watch, silence: c.silence}
	if resp.StatusCode != http.StatusOK {
		return answerOf(resp)
	}
	return plainError(ctx, read(resp))
}

// authorize sets the credentials, which are read anew each time.
func (c *client) authorize(req *http.Request) error {
	if c.config.Tenant != "" {
		req.Header.Set("X-Scope-OrgID", c.config.Tenant)
	}
	if c.config.BearerTokenFile != "" {
		token, err := readSecret(c.config.BearerTokenFile)
		if err != nil {
			return fmt.Errorf("bearer token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if c.config.BasicAuthFile != "" {
		both, err := readSecret(c.config.BasicAuthFile)
		if err != nil {
			return fmt.Errorf("basic authentication: %w", err)
		}
		user, password, ok := strings.Cut(both, ":")
		if !ok {
			return fmt.Errorf("basic authentication: %s does not hold a line user:password", c.config.BasicAuthFile)
		}
		req.SetBasicAuth(user, password)
	}
	return nil
}

// readSecret reads a file of one line; errors name it and nothing of what is in it.
func readSecret(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if len(b) > maxSecret || s == "" || strings.ContainsAny(s, "\r\n") {
		return "", fmt.Errorf("%s does not hold one line of at most %d bytes", name, maxSecret)
	}
	return s, nil
}

// plainError takes the URL out of what net/http says and names the reason why it was given up.
func plainError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return finalError{err}
	}
	return err
}

// answerOf makes an error of an answer that is no success, with what the server says in Prometheus' JSON or as text.
func answerOf(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // half a text is better than none
	e := &statusError{status: resp.StatusCode, text: cut(errorText(body))}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.after = min(time.Duration(s)*time.Second, maxPause)
	}
	return e
}

// cut shortens a text of the server's and takes control signs out of it.
func cut(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
	if len(s) > maxErrorText {
		return s[:maxErrorText] + "…"
	}
	return s
}

// A watched body gives up when nothing comes for too long.
type watched struct {
	io.ReadCloser
	timer   *time.Timer
	silence time.Duration
}

// Read implements io.Reader.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.ReadCloser.Read(b)
	w.timer.Reset(w.silence)
	return n, err
}
