package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// A Sender posts bodies to one receiver over connections that it keeps. It is safe for use by several goroutines.
type Sender struct {
	URL    string
	Token  string // bearer token, "" for none
	client *http.Client
}

// NewSender returns a sender that keeps up to conns connections open.
func NewSender(url, token string, conns int) *Sender {
	return &Sender{URL: url, Token: token, client: &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: conns, MaxConnsPerHost: conns},
	}}
}

// Close closes idle connections.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// An Answer is what a receiver says.
type Answer struct {
	Status  int
	Written int // X-Prometheus-Remote-Write-Samples-Written, -1 without it
	Retry   bool
	Wait    time.Duration // Retry-After
	Text    string        // of an answer that is not 2xx
}

// OK reports whether the receiver took the whole request.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// Send posts one compressed body.
func (s *Sender) Send(ctx context.Context, v Version, body []byte) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	if v == V2 {
		req.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
		req.Header.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	}
	if s.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Status: resp.StatusCode, Written: -1, Text: string(text)}
	a.Retry = a.Status == http.StatusTooManyRequests || a.Status >= 500
	if n, err := strconv.Atoi(resp.Header.Get("X-Prometheus-Remote-Write-Samples-Written")); err == nil {
		a.Written = n
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		a.Wait = time.Duration(n) * time.Second
	}
	return a, nil
}

// SendUntilTaken posts one body, again and again as Prometheus does when a receiver is away or busy, until it is taken. It gives up
// when ctx ends or the receiver refuses it for good. It returns how often it was posted.
func (s *Sender) SendUntilTaken(ctx context.Context, v Version, body []byte) (int, error) {
	const pause = 100 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last error
	for tries := 1; ; tries++ {
		a, err := s.Send(ctx, v, body)
		switch {
		case err != nil:
			last = err
		case a.OK():
			return tries, nil
		case !a.Retry:
			return tries, fmt.Errorf("%s refuses for good: %d %s", s.URL, a.Status, a.Text)
		default:
			last = fmt.Errorf("%s answers %d %s", s.URL, a.Status, a.Text)
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return tries, errors.Join(ctx.Err(), last)
		case <-timer.C:
		}
	}
}
