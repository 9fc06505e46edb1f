package scrape

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// A Job is a set of targets that are scraped alike. Zero fields mean their default.
type Job struct {
	Name     string        `yaml:"name"`
	Interval time.Duration `yaml:"interval"` // default 15 s, at least 1 s
	Timeout  time.Duration `yaml:"timeout"`  // default 10 s or Interval, whichever is less; at most Interval
	Path     string        `yaml:"path"`     // default /metrics
	Scheme   string        `yaml:"scheme"`   // http (default) or https
	Targets  []Group       `yaml:"targets"`
	FileSD   []string      `yaml:"fileSD"` // patterns of files in Prometheus' file_sd format, JSON or YAML

	HonorLabels      bool `yaml:"honorLabels"`      // labels of the exposition win over those of the target
	IgnoreTimestamps bool `yaml:"ignoreTimestamps"` // take the time of the scrape instead of timestamps in the exposition

	BodyLimit       int `yaml:"bodyLimit"`       // bytes of a body, decompressed; default 64 MiB
	SampleLimit     int `yaml:"sampleLimit"`     // samples of a scrape; default none but BodyLimit
	LabelLimit      int `yaml:"labelLimit"`      // labels of a series; default those of the gate, as for the next two
	LabelNameLimit  int `yaml:"labelNameLimit"`  // bytes of a label's name
	LabelValueLimit int `yaml:"labelValueLimit"` // bytes of a label's value

	TLS             TLS        `yaml:"tls"`
	BearerTokenFile string     `yaml:"bearerTokenFile"` // read at each scrape
	BasicAuth       *BasicAuth `yaml:"basicAuth"`
}

// A Group is targets with the same labels, in the shape of Prometheus' file_sd.
type Group struct {
	Targets []string          `yaml:"targets" json:"targets"` // host:port
	Labels  map[string]string `yaml:"labels" json:"labels"`   // __scheme__, __metrics_path__ and __param_<name> say where to look; others with __ are dropped
}

// TLS says how servers are verified and who the client is.
type TLS struct {
	CAFile             string `yaml:"caFile"`   // certificates to trust instead of the system's; read at the start
	CertFile           string `yaml:"certFile"` // the client's certificate; read at each handshake
	KeyFile            string `yaml:"keyFile"`
	ServerName         string `yaml:"serverName"`
	InsecureSkipVerify bool   `yaml:"insecureSkipVerify"` // anybody on the way can pose as the target
}

// BasicAuth is a user's name with a file that holds the password, read at each scrape.
type BasicAuth struct {
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"passwordFile"`
}

type job struct {
	config Job
	client *http.Client
}

func newJob(c Job, dial func(context.Context, string, string) (net.Conn, error)) (*job, error) {
	if c.Interval == 0 {
		c.Interval = 15 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = min(10*time.Second, c.Interval)
	}
	if c.Path == "" {
		c.Path = "/metrics"
	}
	if c.Scheme == "" {
		c.Scheme = "http"
	}
	if c.BodyLimit == 0 {
		c.BodyLimit = 64 << 20
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("scrape: job %q: %w", c.Name, err)
	}
	t, err := c.TLS.config()
	if err != nil {
		return nil, fmt.Errorf("scrape: job %q: tls: %w", c.Name, err)
	}
	transport := &http.Transport{
		DialContext: dial, TLSClientConfig: t, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 2, IdleConnTimeout: 2 * c.Interval, MaxResponseHeaderBytes: 64 << 10,
	}
	return &job{config: c, client: &http.Client{Transport: transport, CheckRedirect: checkRedirect}}, nil
}

func (c *Job) check() error {
	switch {
	case c.Name == "":
		return errors.New("name is missing")
	case c.Interval < time.Second:
		return fmt.Errorf("interval is %v; it must be at least 1s", c.Interval)
	case c.Timeout <= 0 || c.Timeout > c.Interval:
		return fmt.Errorf("timeout is %v; it must be above 0 and at most the interval, %v", c.Timeout, c.Interval)
	case c.Scheme != "http" && c.Scheme != "https":
		return fmt.Errorf("scheme is %q; it must be http or https", c.Scheme)
	case !strings.HasPrefix(c.Path, "/"):
		return fmt.Errorf("path is %q; it must begin with /", c.Path)
	case c.BearerTokenFile != "" && c.BasicAuth != nil:
		return errors.New("bearerTokenFile and basicAuth are both set; only one can be sent")
	case c.BasicAuth != nil && (c.BasicAuth.Username == "" || c.BasicAuth.PasswordFile == ""):
		return errors.New("basicAuth needs username and passwordFile")
	case min(c.BodyLimit, c.SampleLimit, c.LabelLimit, c.LabelNameLimit, c.LabelValueLimit) < 0:
		return errors.New("a limit is below 0")
	}
	for _, g := range c.Targets {
		for _, address := range g.Targets {
			if err := checkAddress(address); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *TLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("caFile: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("caFile %s holds no certificate in PEM form", t.CAFile)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("certFile and keyFile go together")
	}
	if t.CertFile == "" {
		return c, nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("certFile and keyFile: %w", err)
		}
		return &pair, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return c, nil
}

// maxRedirects bounds how often a target may send us elsewhere.
const maxRedirects = 5

func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("redirected more than %d times", maxRedirects)
	}
	if via[len(via)-1].URL.Scheme == "https" && next.URL.Scheme != "https" {
		return errors.New("redirected from https to http")
	}
	return nil
}
