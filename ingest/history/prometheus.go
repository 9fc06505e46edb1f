package history

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"evenkeel.dev/bus"
)

// A Config says how to reach a Prometheus, or what speaks as one does (Thanos, Mimir, Cortex, VictoriaMetrics).
type Config struct {
	URL      string // base, for example https://prometheus.example.com or http://mimir/prometheus
	Protocol string // "auto" or "": remote read, or the HTTP API where that is not offered; "remote-read"; "api"

	BearerTokenFile string
	BasicAuthFile   string // one line, user:password
	CAFile          string // PEM, instead of the system's authorities
	Tenant          string // X-Scope-OrgID, of Mimir and Cortex; "" for none

	SliceBytes int                              // default 128 MiB; see the package's bounds
	Note       func(format string, args ...any) // what the user should know at once; default nowhere
}

// Choices of Config.Protocol.
const (
	ChooseAuto       = "auto"
	ChooseRemoteRead = "remote-read"
	ChooseAPI        = "api"
)

// Prometheus reads from a server. It is used by one goroutine.
type Prometheus struct {
	client     *client
	config     Config
	protocol   string // known after the first answer
	starts     bool
	histograms bool
}

// NewPrometheus checks c and returns a source; it asks nothing yet.
func NewPrometheus(c Config) (*Prometheus, error) {
	if c.SliceBytes == 0 {
		c.SliceBytes = 128 << 20
	}
	if c.Note == nil {
		c.Note = func(string, ...any) {}
	}
	switch c.Protocol {
	case "":
		c.Protocol = ChooseAuto
	case ChooseAuto, ChooseRemoteRead, ChooseAPI:
	default:
		return nil, fmt.Errorf("protocol %q is not known; it is %s, %s or %s", c.Protocol, ChooseAuto, ChooseRemoteRead, ChooseAPI)
	}
	cl, err := newClient(c)
	if err != nil {
		return nil, err
	}
	return &Prometheus{client: cl, config: c}, nil
}

// Read implements [Source].
func (p *Prometheus) Read(ctx context.Context, q Query, take func(*Moment) error) error {
	q.Selectors = reduce(q.Selectors)
	return walk(ctx, q, func(ctx context.Context, from, to bus.Time) (*slice, error) {
		s, err := p.fetch(ctx, q.Selectors, from, to)
		if err == nil {
			p.starts = p.starts || s.starts
			p.histograms = p.histograms || s.histograms > 0
		}
		return s, err
	}, take)
}

// fetch reads a slice over the protocol that was chosen, or finds out which the server offers.
func (p *Prometheus) fetch(ctx context.Context, ss []bus.Selector, from, to bus.Time) (*slice, error) {
	if p.protocol == ProtocolAPI || p.config.Protocol == ChooseAPI {
		p.protocol = ProtocolAPI
		return p.query(ctx, ss, from, to)
	}
	s, err := p.remoteRead(ctx, ss, from, to)
	var se *statusError
	if p.protocol == "" && errors.As(err, &se) && notOffered(se.status) {
		if p.config.Protocol == ChooseRemoteRead {
			return nil, fmt.Errorf("remote read is not offered: %w", err)
		}
		p.config.Note("remote read is not offered (%d %s): the HTTP API is used, which is slower and keeps no staleness markers", se.status, http.StatusText(se.status))
		p.protocol = ProtocolAPI
		return p.query(ctx, ss, from, to)
	}
	return s, err
}

func notOffered(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented
}

// Origin implements [Source].
func (p *Prometheus) Origin() Origin {
	o := Origin{Kind: "prometheus", Place: p.client.base.String(), Protocol: p.protocol}
	if !p.starts {
		o.Lacks = append(o.Lacks, Lack{LackStartTimestamps, "The source has no start timestamps: a counter that began anew is seen by its falling value only."})
	}
	if p.protocol == ProtocolAPI {
		o.Lacks = append(o.Lacks, Lack{LackStalenessMarkers, "The HTTP API leaves staleness markers out: where a series ended is not known, only that no more samples came."},
			Lack{LackExternalLabels, "The HTTP API does not give the external labels that a Prometheus adds in remote write and remote read: selectors on them match nothing."})
	}
	if p.histograms {
		o.Lacks = append(o.Lacks, Lack{LackNativeHistograms, "Native histograms were selected and left out; their _count and _sum are counted live."})
	}
	return o
}

// limited turns the server's own bounds into a wish for shorter slices.
func limited(err error) error {
	var se *statusError
	if !errors.As(err, &se) {
		return err
	}
	text := strings.ToLower(se.text)
	speaks := strings.Contains(text, "limit") || strings.Contains(text, "too many") || strings.Contains(text, "timed out") || strings.Contains(text, "timeout")
	switch {
	case se.status == http.StatusRequestEntityTooLarge,
		speaks && (se.status == http.StatusUnprocessableEntity || se.status == http.StatusBadRequest || se.status == http.StatusServiceUnavailable):
		return fmt.Errorf("%w: %s", errTooLarge, err.Error())
	}
	return err
}
