package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"evenkeel.dev/console"
)

// client talks to a running engine.
type client struct {
	base  string
	token string
	http  *http.Client
}

// apiError is a refusal of the server.
type apiError struct {
	status  int
	code    string
	message string
	details json.RawMessage
}

// Error returns the server's words.
func (e *apiError) Error() string {
	if e.message == "" {
		return fmt.Sprintf("the server answered with HTTP status %d", e.status)
	}
	return e.message
}

// client returns a client from the flags.
func (c *cli) client() (*client, error) {
	u, err := url.Parse(c.server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, wrongUsage("--server %q is no http or https URL", c.server)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = 5 * time.Minute // a change of ten thousand definitions takes its time
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, wrongUsage("--ca %s holds no PEM certificate", c.ca)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &client{strings.TrimSuffix(c.server, "/"), c.findToken(), &http.Client{Transport: t}}, nil
}

// findToken returns --token or, without one, what the data folder's admin.token holds, if it can be read.
func (c *cli) findToken() string {
	if c.token != "" {
		return c.token
	}
	data := c.data
	if v, ok := c.getenv("EVENKEEL_DATA"); ok && data == "" {
		data = v
	}
	if data == "" {
		data = defaultData
	}
	t, err := console.ReadToken(filepath.Join(data, "admin.token"))
	if err != nil {
		return ""
	}
	return t
}

// open sends a request and returns the answer's body, or what the server refuses.
func (c *client) open(ctx context.Context, method, path string, query url.Values, kind string, body []byte) (io.ReadCloser, error) {
	u := c.base + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", c.base, errors.Unwrap(err))
	}
	if resp.StatusCode/100 == 2 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(resp)
}

func (c *client) refusal(resp *http.Response) error {
	var in struct {
		Error struct {
			Code    string          `json:"code"`
			Message string          `json:"message"`
			Details json.RawMessage `json:"details"`
		} `json:"error"`
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, console.MaxDefinitionsBody)) // a part is enough to say what is wrong
	_ = json.Unmarshal(b, &in)                                                // what is no JSON leaves the status
	e := &apiError{resp.StatusCode, in.Error.Code, in.Error.Message, in.Error.Details}
	if e.status == http.StatusUnauthorized && c.token == "" {
		e.message = "a token is needed: give --token or EVENKEEL_TOKEN, or --data with the engine's data folder if you may read its admin.token"
	}
	return e
}

// call sends a request and decodes the JSON answer into out.
func (c *client) call(ctx context.Context, method, path string, query url.Values, kind string, body []byte, out any) error {
	r, err := c.open(ctx, method, path, query, kind, body)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := json.NewDecoder(r).Decode(out); err != nil {
		return fmt.Errorf("answer of %s%s: %w", c.base, path, err)
	}
	return nil
}

func (c *client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, http.MethodGet, path, query, "", nil, out)
}

// isStatus reports whether err is the server's refusal with an HTTP status.
func isStatus(err error, status int) bool {
	var e *apiError
	return errors.As(err, &e) && e.status == status
}

func escape(parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}
