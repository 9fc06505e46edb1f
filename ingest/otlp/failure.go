package otlp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
)

// A failure is why a request did not succeed, in the terms of both protocols.
type failure struct {
	http    int
	code    codes.Code
	retry   time.Duration // 0: sending it again is of no use
	message string
}

// status returns the failure as google.rpc.Status, with RetryInfo where a retry is of use.
func (f *failure) status() *status.Status {
	s := status.New(f.code, f.message)
	if f.retry <= 0 {
		return s
	}
	detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(f.retry)})
	if err != nil { // the details cannot be encoded: the code alone says enough
		return s
	}
	return detailed
}

func (r *Receiver) malformed(err error) *failure {
	r.stats.malformed.Add(1)
	return &failure{http: http.StatusBadRequest, code: codes.InvalidArgument, message: err.Error()}
}

func (r *Receiver) unsupported(code int, message string) *failure {
	r.stats.unsupported.Add(1)
	return &failure{http: code, code: codes.Unimplemented, message: message}
}

func (r *Receiver) tooLarge(bound int) *failure {
	r.stats.tooLarge.Add(1)
	return &failure{
		http: http.StatusRequestEntityTooLarge, code: codes.ResourceExhausted,
		message: fmt.Sprintf("the request is larger than %d bytes; send smaller batches", bound),
	}
}

func (r *Receiver) unauthenticated() *failure {
	r.stats.unauthenticated.Add(1)
	return &failure{http: http.StatusUnauthorized, code: codes.Unauthenticated, message: "the credentials are missing or not those of a sender"}
}

func (r *Receiver) busy(message string) *failure {
	r.stats.busy.Add(1)
	return &failure{http: http.StatusServiceUnavailable, code: codes.Unavailable, retry: r.config.RetryAfter, message: message}
}

// refused turns what the gate says into an answer.
func (r *Receiver) refused(err error) *failure {
	switch {
	case errors.Is(err, ingest.ErrQuota):
		r.stats.quota.Add(1)
		return &failure{http: http.StatusTooManyRequests, code: codes.ResourceExhausted, retry: r.config.RetryAfter, message: err.Error()}
	case errors.Is(err, ingest.ErrBusy), errors.Is(err, ingest.ErrSenders), errors.Is(err, bus.ErrFull):
		return r.busy(err.Error())
	}
	r.stats.failed.Add(1)
	f := &failure{http: http.StatusServiceUnavailable, code: codes.Unavailable, retry: r.config.RetryAfter,
		message: "whether the telemetry was stored is not known; sending it again does no harm"}
	if errors.Is(err, context.Canceled) {
		f.code = codes.Canceled
	}
	return f
}
