package otlp

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// ServeHTTP answers POST /v1/metrics.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.stats.requests.Add(1)
	contentType, f := r.negotiate(req)
	if f == nil {
		var answer *metricspb.ExportMetricsServiceResponse
		if answer, f = r.serve(w, req, contentType); f == nil {
			reply(w, contentType, http.StatusOK, answer)
			return
		}
	}
	if f.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.retry+999_999_999)/1_000_000_000)))
	}
	if f.http == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	reply(w, contentType, f.http, f.status().Proto())
}

// negotiate returns the content type of the request, which is that of the answer as well.
func (r *Receiver) negotiate(req *http.Request) (string, *failure) {
	if req.Method != http.MethodPost {
		return typeProtobuf, r.unsupported(http.StatusMethodNotAllowed, "metrics are sent with POST")
	}
	contentType, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || contentType != typeProtobuf && contentType != typeJSON {
		return typeProtobuf, r.unsupported(http.StatusUnsupportedMediaType, "Content-Type must be "+typeProtobuf+" or "+typeJSON)
	}
	switch strings.ToLower(req.Header.Get("Content-Encoding")) {
	case "", "identity", "gzip":
		return contentType, nil
	}
	return contentType, r.unsupported(http.StatusUnsupportedMediaType, "Content-Encoding must be gzip or absent")
}

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request, contentType string) (*metricspb.ExportMetricsServiceResponse, *failure) {
	sender, err := r.config.Sender(req.Context())
	if err != nil {
		return nil, r.unauthenticated()
	}
	if req.ContentLength > int64(r.config.MaxBody) {
		return nil, r.tooLarge(r.config.MaxBody)
	}
	hold := holding{budget: &r.http}
	defer hold.release()
	buffer := r.buffer()
	defer r.bodies.Put(buffer)
	body, f := r.read(w, req, (*buffer)[:0], &hold)
	*buffer = keep(body)
	if f != nil {
		return nil, f
	}
	if contentType == typeJSON {
		if body, f = r.fromJSON(body, &hold); f != nil {
			return nil, f
		}
	}
	return r.export(req.Context(), sender, body)
}

// fromJSON turns the body into protobuf, within the bound that holds for protobuf.
func (r *Receiver) fromJSON(body []byte, hold *holding) ([]byte, *failure) {
	if !hold.take(min(8*len(body), r.config.MaxBody)) {
		return nil, r.busy(textBusy)
	}
	out, err := transcode(make([]byte, 0, len(body)), body, r.schema, r.config.MaxBody)
	switch {
	case errors.Is(err, errOutput):
		return nil, r.tooLarge(r.config.MaxBody)
	case err != nil:
		return nil, r.malformed(err)
	}
	return out, nil
}

const textBusy = "too many requests are under way; try again later"

// read reads the body, decompressed, into b. Memory is taken from the budget before it is used, so that neither a length that is
// declared nor one that is compressed costs anything by itself.
func (r *Receiver) read(w http.ResponseWriter, req *http.Request, b []byte, hold *holding) ([]byte, *failure) {
	var source io.Reader = http.MaxBytesReader(w, req.Body, int64(r.config.MaxBody))
	if strings.EqualFold(req.Header.Get("Content-Encoding"), "gzip") {
		z, err := r.unzipper(source)
		if err != nil {
			return b, r.unreadable(err)
		}
		defer r.rezip(z)
		source = z
	}
	if !hold.take(cap(b)) {
		return b, r.busy(textBusy)
	}
	for {
		if len(b) > r.config.MaxBody {
			return b, r.tooLarge(r.config.MaxBody)
		}
		if len(b) == cap(b) {
			if !hold.take(max(cap(b), 16<<10)) {
				return b, r.busy(textBusy)
			}
			b = append(make([]byte, 0, cap(b)+max(cap(b), 16<<10)), b...)
		}
		n, err := source.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, r.unreadable(err)
		}
	}
}

func (r *Receiver) unreadable(err error) *failure {
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return r.tooLarge(r.config.MaxBody)
	}
	f := r.malformed(err)
	f.message = "the body cannot be read: it is cut short or not what Content-Encoding says"
	return f
}

func (r *Receiver) unzipper(source io.Reader) (*gzip.Reader, error) {
	if z, ok := r.zippers.Get().(*gzip.Reader); ok {
		return z, z.Reset(source)
	}
	return gzip.NewReader(source)
}

// rezip gives a reader back, without the request that it read.
func (r *Receiver) rezip(z *gzip.Reader) {
	_ = z.Reset(bytes.NewReader(nil)) // that nothing is no gzip is no matter here
	r.zippers.Put(z)
}

func (r *Receiver) buffer() *[]byte {
	if b, ok := r.bodies.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

// keep lets go of buffers that only a rare large request needs.
func keep(b []byte) []byte {
	const most = 1 << 20
	if cap(b) > most {
		return nil
	}
	return b[:0]
}

// A holding is what one request has taken of a budget.
type holding struct {
	budget *budget
	taken  int
}

func (h *holding) take(n int) bool {
	if !h.budget.take(n) {
		return false
	}
	h.taken += n
	return true
}

func (h *holding) release() { h.budget.give(h.taken) }

// reply writes m in the encoding of the request.
func reply(w http.ResponseWriter, contentType string, code int, m proto.Message) {
	marshal := proto.Marshal
	if contentType == typeJSON {
		marshal = protojson.Marshal
	}
	body, err := marshal(m)
	if err != nil { // our own message: only its text can be at fault, and the code says the rest
		body = nil
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) // a sender that is gone asks again
}
