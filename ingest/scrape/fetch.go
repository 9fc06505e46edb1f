package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// accept asks for OpenMetrics first, since it has start timestamps, and takes whatever is text.
const accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5," +
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"

var (
	errBody = errors.New("the body is larger than bodyLimit")
	errBusy = errors.New("too many bodies are being read at once")
)

// fetch asks the target once. The body must be given back with [Scraper.release] whatever the error.
func (l *loop) fetch(ctx context.Context) (body []byte, contentType string, err error) {
	timeout := l.target.job.config.Timeout
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no complete answer within %v", timeout))
	defer cancel()
	req, err := l.request(ctx)
	if err != nil {
		return nil, "", err
	}
	res, err := l.target.job.client.Do(req)
	if err != nil {
		return nil, "", plainError(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("the target answers %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	body, err = l.scraper.readBody(res.Body, l.target.job.config.BodyLimit)
	return body, res.Header.Get("Content-Type"), plainError(ctx, err)
}

func (l *loop) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.target.url.String(), nil)
	if err != nil {
		return nil, plainError(ctx, err)
	}
	c := &l.target.job.config
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "Evenkeel")
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(c.Timeout.Seconds(), 'f', -1, 64))
	if c.BearerTokenFile != "" {
		token, err := readSecret(c.BearerTokenFile)
		if err != nil {
			return nil, fmt.Errorf("bearerTokenFile: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if c.BasicAuth != nil {
		password, err := readSecret(c.BasicAuth.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("passwordFile: %w", err)
		}
		req.SetBasicAuth(c.BasicAuth.Username, password)
	}
	return req, nil
}

// readSecret reads a small file; errors name it and nothing of what is in it.
func readSecret(name string) (string, error) {
	const most = 64 << 10
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	s := strings.TrimSpace(string(b))
	if len(b) > most || s == "" || strings.ContainsAny(s, "\r\n") {
		return "", fmt.Errorf("%s does not hold one line of at most %d bytes", name, most)
	}
	return s, nil
}

// plainError takes the URL out of what net/http says, since its query may hold secrets, and names the timeout.
func plainError(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, errBody) || errors.Is(err, errBusy) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	return err
}

// readBody reads a body within limit. Its memory is taken from the budget before it is used.
func (s *Scraper) readBody(r io.Reader, limit int) ([]byte, error) {
	var b []byte
	for {
		if len(b) > limit {
			return b, fmt.Errorf("%w, %d bytes", errBody, limit)
		}
		if len(b) == cap(b) {
			more := max(cap(b), 32<<10)
			if !s.bodies.take(more) {
				return b, errBusy
			}
			grown := make([]byte, len(b), cap(b)+more)
			copy(grown, b)
			b = grown
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// release gives the memory of a body back to the budget.
func (s *Scraper) release(body []byte) { s.bodies.give(cap(body)) }
