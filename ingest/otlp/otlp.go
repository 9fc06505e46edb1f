// Package otlp takes OpenTelemetry metrics over HTTP and gRPC and offers them to the ingest gate as series.
//
// [Receiver] is an http.Handler for POST /v1/metrics (protobuf and JSON, each also with gzip); [Receiver.NewGRPC] makes a server for
// the service opentelemetry.proto.collector.metrics.v1.MetricsService. Both answer success only after the log has acknowledged what
// some definition needs, and both follow the OTLP specification 1.x in what they answer otherwise:
//
//	what                                   HTTP                     gRPC                                   retried by senders
//	some data points are wrong             200, partial success     OK, partial success                    no
//	the message cannot be read             400                      INVALID_ARGUMENT                       no
//	too large                              413                      RESOURCE_EXHAUSTED without RetryInfo   no
//	neither protobuf nor JSON, or encoded  415                      UNIMPLEMENTED                          no
//	over the sender's quota                429, Retry-After         RESOURCE_EXHAUSTED with RetryInfo      yes
//	no room, too busy, log not reached     503, Retry-After         UNAVAILABLE with RetryInfo             yes
//
// Bodies of HTTP errors are google.rpc.Status in the encoding of the request.
//
// # From data points to series
//
// Names and labels are those that Prometheus' own OTLP receiver makes, so that one SLO fits both ways: by default dots become
// underscores and units and _total are appended ([Config.Translation] says otherwise). Of the resource, service.namespace "/"
// service.name becomes job, service.instance.id becomes instance, and what Config.PromoteResourceAttributes lists gets a label of
// its own; the rest, and the scope, are dropped. Attributes whose names become the same are joined with ";".
//
//	monotonic sum                 a counter, with its start timestamp
//	other sum, gauge              a gauge
//	histogram                     <name>_bucket{le} counting all at or below le, <name>_count, <name>_sum
//	exponential histogram         <name>_count, <name>_sum; and parts of it where an objective has a threshold, see slo.Cut
//	summary                       <name>_count, <name>_sum; its quantiles are not read
//
// Of delta temporality each of these series holds increments ([bus.SeriesDelta]), identified by start and time. "No recorded
// value" becomes the staleness marker. Nanoseconds are cut to milliseconds.
//
// # What it costs and what it refuses
//
// The protobuf message is walked where it lies: a series that is known costs no allocation. JSON is turned into protobuf first.
// Bodies are read into memory that is counted ([Config.MaxInFlight]) before it is used. A data point is left out, counted and named
// in the partial success when it has no time, no value, no temporality, buckets that do not fit, or attributes that cannot be labels.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/otlptranslator"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"

	"evenkeel.dev/ingest"
)

// A Config says what a [Receiver] stands on. Zero fields mean their default.
type Config struct {
	Gate *ingest.Gate
	// Sender tells who sends, by what authentication left in the request's context (HTTP) or by the call's metadata and peer (gRPC).
	// An error is answered with 401 or UNAUTHENTICATED; its text is not shown to the sender.
	Sender func(context.Context) (ingest.Sender, error)

	// Translation is how names are made, in Prometheus' terms: UnderscoreEscapingWithSuffixes (default),
	// UnderscoreEscapingWithoutSuffixes, NoUTF8EscapingWithSuffixes or NoTranslation.
	Translation string
	// PromoteResourceAttributes are resource attributes that get a label of their own, by their OpenTelemetry name.
	PromoteResourceAttributes []string

	MaxBody     int           // bytes of one request, as sent and as decompressed; default 16 MiB over HTTP, at most 64 MiB
	MaxMessage  int           // bytes of one gRPC message, decompressed; default 4 MiB, as in other receivers
	MaxInFlight int           // bytes of all requests that are being read or written, for HTTP and for gRPC each; default 256 MiB
	RetryAfter  time.Duration // what a refused sender is asked to wait; default 5 s
}

// A Receiver takes OTLP metrics. It is safe for use by many goroutines.
type Receiver struct {
	config   Config
	decoders sync.Pool // *decoder
	bodies   sync.Pool // *[]byte
	zippers  sync.Pool // *gzip.Reader
	schema   *schema
	http     budget
	grpc     budget
	stats    counters
}

// maxBody is what a padded length of four bytes can say, with room to spare.
const maxBody = 64 << 20

// New checks c and returns a receiver.
func New(c Config) (*Receiver, error) {
	if c.Gate == nil || c.Sender == nil {
		return nil, errors.New("otlp: Config needs Gate and Sender")
	}
	names, err := newNaming(c)
	if err != nil {
		return nil, err
	}
	for p, v := range map[*int]int{&c.MaxBody: 16 << 20, &c.MaxMessage: 4 << 20, &c.MaxInFlight: 256 << 20} {
		if *p == 0 {
			*p = v
		}
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = 5 * time.Second
	}
	switch {
	case c.MaxBody < 0 || c.MaxBody > maxBody || c.MaxMessage < 0 || c.MaxMessage > maxBody:
		return nil, fmt.Errorf("otlp: MaxBody is %d and MaxMessage %d; 1 to %d are possible", c.MaxBody, c.MaxMessage, maxBody)
	case c.MaxInFlight < c.MaxBody || c.MaxInFlight < c.MaxMessage:
		return nil, fmt.Errorf("otlp: MaxInFlight is %d; it must hold one request of %d", c.MaxInFlight, max(c.MaxBody, c.MaxMessage))
	case c.RetryAfter < 0:
		return nil, fmt.Errorf("otlp: RetryAfter is %v; it must be above 0", c.RetryAfter)
	}
	r := &Receiver{config: c, http: budget{size: int64(c.MaxInFlight)}, grpc: budget{size: int64(c.MaxInFlight)}}
	r.schema = newSchema((&metricspb.ExportMetricsServiceRequest{}).ProtoReflect().Descriptor())
	r.decoders.New = func() any { return &decoder{naming: names, hash: c.Gate.Hash} }
	return r, nil
}

func newNaming(c Config) (naming, error) {
	strategy := otlptranslator.TranslationStrategyOption(c.Translation)
	switch strategy {
	case "":
		strategy = otlptranslator.UnderscoreEscapingWithSuffixes
	case otlptranslator.UnderscoreEscapingWithSuffixes, otlptranslator.UnderscoreEscapingWithoutSuffixes,
		otlptranslator.NoUTF8EscapingWithSuffixes, otlptranslator.NoTranslation:
	default:
		return naming{}, fmt.Errorf("otlp: translation %q is unknown; it is one of %s, %s, %s, %s", c.Translation,
			otlptranslator.UnderscoreEscapingWithSuffixes, otlptranslator.UnderscoreEscapingWithoutSuffixes,
			otlptranslator.NoUTF8EscapingWithSuffixes, otlptranslator.NoTranslation)
	}
	return naming{
		metric: otlptranslator.NewMetricNamer("", strategy),
		label: otlptranslator.LabelNamer{
			UTF8Allowed:                 !strategy.ShouldEscape(),
			UnderscoreLabelSanitization: true, // both as in Prometheus' defaults
			PreserveMultipleUnderscores: true,
		},
		promoted: c.PromoteResourceAttributes,
	}, nil
}

// export decodes one protobuf message, offers it and waits until it is durable.
func (r *Receiver) export(ctx context.Context, s ingest.Sender, body []byte) (*metricspb.ExportMetricsServiceResponse, *failure) {
	d := r.decoders.Get().(*decoder)
	defer func() { d.end(); r.decoders.Put(d) }()
	a := r.config.Gate.Begin(s)
	d.begin(a)
	if err := d.request(body); err != nil {
		a.Drop()
		return nil, r.malformed(err)
	}
	outcome, err := a.Commit(ctx)
	if err != nil {
		return nil, r.refused(err)
	}
	r.stats.count(&d.tally)
	answer := &metricspb.ExportMetricsServiceResponse{}
	if n := d.tally.total(); n > 0 {
		answer.PartialSuccess = &metricspb.ExportMetricsPartialSuccess{RejectedDataPoints: n, ErrorMessage: d.tally.message(&outcome.Refused)}
	}
	return answer, nil
}

// A budget counts the memory of requests that are under way.
type budget struct {
	size int64
	used counter
}

func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) <= b.size {
		return true
	}
	b.used.Add(int64(-n))
	return false
}

func (b *budget) give(n int) { b.used.Add(int64(-n)) }
