package tmc

import (
	"context"
	"encoding/json"
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

const (
	tries      = 3
	firstPause = time.Second
	maxPause   = 5 * time.Second

	// An access token is renewed this long before its end; one that says nothing of its end, after leastLife.
	early     = 2 * time.Minute
	leastLife = 5 * time.Minute
)

// authorize gets an access token, where there is none that still holds.
func (f *Fleet) authorize(ctx context.Context) error {
	if f.access != "" && time.Now().Before(f.until) {
		return nil
	}
	token, err := readToken(f.config.TokenFile)
	if err != nil {
		return err
	}
	form := url.Values{"refresh_token": {token}}.Encode()
	asked := time.Now()
	body, err := f.send(ctx, "exchange the API token", func() (*http.Request, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.config.CSPURL+"/csp/gateway/am/api/auth/api-tokens/authorize", strings.NewReader(form))
		if err == nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return r, err
	})
	if err != nil {
		return err
	}
	var answer struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"` // seconds
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("exchange the API token: the answer is not of the shape that is known: %w", shape(err))
	}
	if !printable(answer.AccessToken) {
		return errors.New("exchange the API token: there is no access token in the answer")
	}
	life := time.Duration(min(answer.ExpiresIn, 24*3600) * float64(time.Second))
	if life <= 0 {
		life = leastLife
	}
	f.access, f.until = answer.AccessToken, asked.Add(life-min(early, life/2))
	return nil
}

// readToken reads the API token. What the file holds is quoted nowhere.
func readToken(file string) (string, error) {
	r, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("file of the API token: %w", err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("file of the API token: %w", err)
	}
	if token := strings.TrimSpace(string(b)); len(b) <= maxToken && printable(token) {
		return token, nil
	}
	return "", fmt.Errorf("file of the API token %s: it must hold one token, in one line", file)
}

// printable reports whether a text can be a token: visible ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// A statusError is an answer that is not 200.
type statusError struct {
	what string
	host string
	code int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: %s answered %d %s", e.what, e.host, e.code, http.StatusText(e.code))
}

// send sends a request until it is answered by 200 or by a refusal that would not change, at most [tries] times, and returns the body.
func (f *Fleet) send(ctx context.Context, what string, request func() (*http.Request, error)) ([]byte, error) {
	pause := firstPause
	for try := 1; ; try++ {
		r, err := request()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		r.Header.Set("Accept", "application/json")
		r.Header.Set("User-Agent", "evenkeel")
		body, wish, err := f.once(what, r)
		var status *statusError
		if err == nil || try == tries || !errors.As(err, &status) || status.code != http.StatusTooManyRequests && status.code < 500 {
			return body, err
		}
		if wait(ctx, min(max(pause, wish), maxPause)) != nil {
			return nil, err
		}
		pause *= 2
	}
}

// once sends a request once. Wish is how long the server asks to be left alone.
func (f *Fleet) once(what string, r *http.Request) (body []byte, wish time.Duration, err error) {
	answer, err := f.client.Do(r)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", what, bare(err, r.URL.Host))
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
	if answer.StatusCode != http.StatusOK {
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After")) // a date is no number: our own pause
		return nil, time.Duration(min(max(seconds, 0), 3600)) * time.Second, &statusError{what, r.URL.Host, answer.StatusCode}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", what, err)
	}
	if len(body) > maxBody {
		return nil, 0, fmt.Errorf("%s: the answer has more than %d bytes", what, maxBody)
	}
	return body, 0, nil
}

// bare takes the address, with its query, off an error.
func bare(err error, host string) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("%s: %w", host, u.Err)
	}
	return err
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
