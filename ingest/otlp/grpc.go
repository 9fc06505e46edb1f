package otlp

import (
	"context"
	"fmt"
	"sync"
	"time"

	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // what collectors compress with
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"evenkeel.dev/ingest"
)

// A GRPC says how the gRPC server listens. Zero fields mean their default.
type GRPC struct {
	Credentials credentials.TransportCredentials // TLS; none by default
	MaxStreams  uint32                           // calls at once of one connection; default 64
	Timeout     time.Duration                    // of one call, from its headers to its answer; default 30 s
	// Authenticate may put into the context what [Config.Sender] looks for there. It runs before any message is read.
	Authenticate func(context.Context) (context.Context, error)
}

// The service by name, as the OpenTelemetry protocol defines it.
const (
	serviceName = "opentelemetry.proto.collector.metrics.v1.MetricsService"
	methodName  = "Export"
)

// NewGRPC returns a server of the metrics service. Whoever serves with it stops it, with GracefulStop and then Stop. Senders are
// authenticated and memory is taken from the budget as soon as a call's headers are there.
func (r *Receiver) NewGRPC(g GRPC) *grpc.Server {
	if g.MaxStreams == 0 {
		g.MaxStreams = 64
	}
	if g.Timeout == 0 {
		g.Timeout = 30 * time.Second
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(r.config.MaxMessage),
		grpc.MaxConcurrentStreams(g.MaxStreams),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 10 * time.Minute, Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.ForceServerCodecV2(wireCodec{}),
		grpc.InTapHandle(r.tap(g)),
	}
	if g.Credentials != nil {
		options = append(options, grpc.Creds(g.Credentials))
	}
	s := grpc.NewServer(options...)
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: methodName, Handler: r.handle}},
		Metadata:    "opentelemetry/proto/collector/metrics/v1/metrics_service.proto",
	}, r)
	return s
}

// A call is what the tap leaves in the context for the handler.
type call struct {
	sender  ingest.Sender
	release func() // gives the memory back; may be called twice
}

type callKey struct{}

// tap lets a call in or refuses it, before the server reads its message.
func (r *Receiver) tap(g GRPC) tap.ServerInHandle {
	return func(ctx context.Context, _ *tap.Info) (context.Context, error) {
		r.stats.requests.Add(1)
		var err error
		if g.Authenticate != nil {
			if ctx, err = g.Authenticate(ctx); err != nil {
				return nil, r.unauthenticated().status().Err()
			}
		}
		sender, err := r.config.Sender(ctx)
		if err != nil {
			return nil, r.unauthenticated().status().Err()
		}
		if !r.grpc.take(r.config.MaxMessage) {
			return nil, r.busy(textBusy).status().Err()
		}
		ctx, cancel := context.WithTimeout(ctx, g.Timeout)
		release := sync.OnceFunc(func() { r.grpc.give(r.config.MaxMessage) })
		context.AfterFunc(ctx, func() { // the server ends the context of a call with the call, also of one that never gets to the handler
			cancel()
			release()
		})
		return context.WithValue(ctx, callKey{}, call{sender: sender, release: release}), nil
	}
}

func (r *Receiver) handle(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	c, ok := ctx.Value(callKey{}).(call)
	if !ok {
		return nil, r.unauthenticated().status().Err()
	}
	defer c.release()
	var m wireMessage
	if err := decode(&m); err != nil {
		return nil, r.malformed(err).status().Err()
	}
	defer m.buffer.Free()
	answer, f := r.export(ctx, c.sender, m.buffer.ReadOnlyData())
	if f != nil {
		return nil, f.status().Err()
	}
	return answer, nil
}

// A wireMessage is a message that nobody has decoded.
type wireMessage struct{ buffer mem.Buffer }

// wireCodec hands messages over as they came, for the decoder of this package.
type wireCodec struct{}

// Name says that messages are protobuf.
func (wireCodec) Name() string { return "proto" }

// Unmarshal takes hold of the message's bytes.
func (wireCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*wireMessage)
	if !ok {
		return fmt.Errorf("otlp: cannot read a message into %T", v)
	}
	m.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}

// Marshal encodes the answer.
func (wireCodec) Marshal(v any) (mem.BufferSlice, error) {
	answer, ok := v.(*metricspb.ExportMetricsServiceResponse)
	if !ok {
		return nil, fmt.Errorf("otlp: cannot write a message of %T", v)
	}
	b, err := proto.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("otlp: encode the answer: %w", err)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}
