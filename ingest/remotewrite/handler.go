// Package remotewrite receives Prometheus remote write, versions 1.0 and 2.0, over HTTP.
//
// A body is decompressed and walked once, without building messages: the walk finds where each series' labels stand, hashes them
// and asks the [ingest.Gate] what it knows of the series. Labels are decoded at first sight only. In version 1.0 the hash is over
// the raw bytes of the labels; in 2.0 over the strings that the label references stand for, whatever their place in the table
// of symbols, which differs from request to request.
//
// # What is taken
//
// Float samples, with start timestamps (2.0: of the sample; of older senders: the created timestamp of the series), and stale
// markers as such. Native histograms, of which count and sum are taken as the series <name>_count and <name>_sum; their buckets
// are not read. Classic histograms are plain series. A series whose metadata (2.0) says that it is no counter is marked so.
// Exemplars and metadata of 1.0 are accepted and dropped.
//
// # Answers
//
//	204  all that had to be kept is durable; samples that no definition needs and NaN count as written
//	400  the body is no request, and nothing was taken; or some samples were refused, the rest is durable, and the body says how many and why
//	405  415  413  another method; another type or encoding; too large
//	429  the sender is over its quota; Retry-After is set
//	503  no room or no log for now, nothing was taken or whether it was is unknown; Retry-After is set; sending again does no harm
//
// Who the sender is comes from the caller, which has authenticated the request.
package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
	"github.com/klauspost/compress/snappy"
)

// A Config says where requests go and how large they may be.
type Config struct {
	Gate   *ingest.Gate
	Sender func(*http.Request) (ingest.Sender, error) // who sends, by the credentials that were checked before; an error answers 403

	MaxBytes    int // of a body, compressed and decompressed; default 32 MiB
	MaxSymbols  int // of a 2.0 request; default 1,048,576
	MaxSamples  int // of a request, a native histogram counting as one; default 1,048,576
	MaxInFlight int // bytes of memory for all requests under work; over it they get 503; default 512 MiB
	MaxSender   int // the same for one sender; default a quarter of MaxInFlight, and never less than five times MaxBytes
	RetryAfter  int // seconds that a refused sender shall wait; default 5
}

// A Handler serves POST /api/v1/write. It is safe for use by many goroutines.
type Handler struct {
	config Config
	budget budget
	works  sync.Pool // of *work
	stats  counters
}

// Stats are the counters of a handler since it began.
type Stats struct {
	Requests    uint64 // that were read to their end
	Malformed   uint64 // bodies that are no request, answered 400
	TooLarge    uint64 // 413
	Unsupported uint64 // 405 and 415
	Partly      uint64 // 400 although the valid rest was kept
	Unavailable uint64 // 503
	OverQuota   uint64 // 429
	Bytes       uint64 // compressed
	InFlight    int    // bytes under work now
}

type counters struct {
	requests, malformed, tooLarge, unsupported, partly, unavailable, overQuota, bytes atomic.Uint64
}

// New returns a handler, or an error that says what the config lacks.
func New(c Config) (*Handler, error) {
	if c.Gate == nil || c.Sender == nil {
		return nil, errors.New("remotewrite: Config needs Gate and Sender")
	}
	for _, d := range []struct {
		p *int
		v int
	}{{&c.MaxBytes, 32 << 20}, {&c.MaxSymbols, 1 << 20}, {&c.MaxSamples, 1 << 20}, {&c.MaxInFlight, 512 << 20}, {&c.RetryAfter, 5}} {
		if *d.p == 0 {
			*d.p = d.v
		}
		if *d.p < 0 {
			return nil, fmt.Errorf("remotewrite: a bound of Config is %d; it must not be negative", *d.p)
		}
	}
	if c.MaxSender == 0 {
		c.MaxSender = max(c.MaxInFlight/4, 5*c.MaxBytes)
	}
	if c.MaxInFlight < 4*c.MaxBytes || c.MaxSender < 4*c.MaxBytes {
		return nil, fmt.Errorf("remotewrite: MaxInFlight (%d) and MaxSender (%d) must be at least four times MaxBytes (%d)", c.MaxInFlight, c.MaxSender, c.MaxBytes)
	}
	return &Handler{config: c, budget: budget{max: c.MaxInFlight, maxSender: c.MaxSender, senders: map[string]int{}}}, nil
}

// Stats returns the handler's counters.
func (h *Handler) Stats() Stats {
	c := &h.stats
	return Stats{Requests: c.requests.Load(), Malformed: c.malformed.Load(), TooLarge: c.tooLarge.Load(), Unsupported: c.unsupported.Load(),
		Partly: c.partly.Load(), Unavailable: c.unavailable.Load(), OverQuota: c.overQuota.Load(), Bytes: c.bytes.Load(), InFlight: h.budget.inFlight()}
}

const (
	protoV1 = "prometheus.WriteRequest"
	protoV2 = "io.prometheus.write.v2.Request"
)

// ServeHTTP takes one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		h.stats.unsupported.Add(1)
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "remote write is a POST", http.StatusMethodNotAllowed)
		return
	}
	v2, err := negotiate(r.Header)
	if err != nil {
		h.stats.unsupported.Add(1)
		w.Header().Set("Accept", "application/x-protobuf;proto="+protoV2+", application/x-protobuf;proto="+protoV1)
		w.Header().Set("Accept-Encoding", "snappy")
		http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
		return
	}
	sender, err := h.config.Sender(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	k, ok := h.works.Get().(*work)
	if !ok {
		k = &work{}
	}
	defer h.free(k)
	k.loan = loan{budget: &h.budget, sender: sender.Name}
	body, err := h.body(k, r)
	if err != nil {
		h.fail(w, err)
		return
	}
	h.stats.requests.Add(1)
	h.take(w, r.Context(), k, sender, body, v2)
}

// take walks a body and commits what is in it.
func (h *Handler) take(w http.ResponseWriter, ctx context.Context, k *work, sender ingest.Sender, body []byte, v2 bool) {
	k.begin(h.config.Gate, h.config.Gate.Begin(sender), h.config.MaxSamples)
	var err error
	if v2 {
		err = k.walkV2(body, h.config.MaxSymbols)
	} else {
		err = k.walkV1(body)
	}
	if err != nil {
		k.arrival.Drop()
		h.fail(w, err)
		return
	}
	refused := k.arrival.Refused()
	outcome, err := k.arrival.Commit(ctx)
	if err != nil {
		h.fail(w, err)
		return
	}
	k.written(w.Header(), refused)
	if refused == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h.stats.partly.Add(1)
	http.Error(w, k.explain(&outcome.Refused), http.StatusBadRequest)
}

// negotiate tells the version by Content-Type and checks Content-Encoding. What is missing is taken for the oldest that exists.
func negotiate(header http.Header) (v2 bool, err error) {
	if e := header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "snappy") {
		return false, fmt.Errorf("content encoding %.64q is not supported; it must be snappy (block format)", e)
	}
	ct := header.Get("Content-Type")
	if ct == "" {
		return false, nil
	}
	typ, params, err := mime.ParseMediaType(ct)
	if err != nil || typ != "application/x-protobuf" {
		return false, fmt.Errorf("content type %.128q is not supported; it must be application/x-protobuf", ct)
	}
	switch params["proto"] {
	case "", protoV1:
		return false, nil
	case protoV2:
		return true, nil
	}
	return false, fmt.Errorf("message %.128q is not supported; it must be %s or %s", params["proto"], protoV2, protoV1)
}

// A statusError is an error with its HTTP status.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

func malformed(format string, args ...any) error {
	return &statusError{http.StatusBadRequest, "remote write: " + fmt.Sprintf(format, args...)}
}

// body reads and decompresses a request into the work's buffers.
func (h *Handler) body(k *work, r *http.Request) ([]byte, error) {
	limit := h.config.MaxBytes
	if r.ContentLength > int64(limit) {
		return nil, &statusError{http.StatusRequestEntityTooLarge, fmt.Sprintf("body of %d bytes; at most %d", r.ContentLength, limit)}
	}
	if err := k.read(r.Body, int(r.ContentLength), limit); err != nil {
		return nil, err
	}
	h.stats.bytes.Add(uint64(len(k.packed)))
	n, err := snappy.DecodedLen(k.packed)
	switch {
	case err != nil:
		return nil, malformed("body is no snappy block: %v", err)
	case n > limit:
		return nil, &statusError{http.StatusRequestEntityTooLarge, fmt.Sprintf("body of %d bytes when decompressed; at most %d", n, limit)}
	case n > len(k.packed)*22+64: // an element of 3 bytes makes 64 at most
		return nil, malformed("body claims %d bytes when decompressed, more than %d bytes can hold", n, len(k.packed))
	}
	if k.raw, err = k.grow(k.raw, 0, n); err != nil {
		return nil, err
	}
	body, err := snappy.Decode(k.raw[:n], k.packed)
	if err != nil {
		return nil, malformed("body is no snappy block: %v", err)
	}
	return body, nil
}

// fail answers a request of which nothing was kept, as far as anyone knows.
func (h *Handler) fail(w http.ResponseWriter, err error) {
	for _, kind := range []string{"Samples", "Histograms", "Exemplars"} {
		w.Header().Set("X-Prometheus-Remote-Write-"+kind+"-Written", "0")
	}
	status := http.StatusServiceUnavailable
	var se *statusError
	switch {
	case errors.As(err, &se):
		status = se.status
	case errors.Is(err, ingest.ErrQuota):
		status = http.StatusTooManyRequests
	case errors.Is(err, bus.ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	}
	switch status {
	case http.StatusServiceUnavailable:
		h.stats.unavailable.Add(1)
	case http.StatusTooManyRequests:
		h.stats.overQuota.Add(1)
	case http.StatusRequestEntityTooLarge:
		h.stats.tooLarge.Add(1)
	default:
		h.stats.malformed.Add(1)
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(h.config.RetryAfter))
	}
	http.Error(w, err.Error(), status)
}

// free gives buffers back.
func (h *Handler) free(k *work) {
	k.loan.settle()
	k.reset()
	h.works.Put(k)
}
