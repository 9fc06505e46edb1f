package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/credentials"

	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/ingest/otlp"
)

// open opens the sockets.
func (l *listeners) open(s *Settings) error {
	c, err := tlsConfig(s)
	if err != nil {
		return err
	}
	l.tls = c
	if l.listen == nil {
		l.listen = net.Listen
	}
	if l.http, err = l.listen("tcp", s.HTTP); err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	if c != nil {
		h := c.Clone()
		h.NextProtos = []string{"h2", "http/1.1"}
		l.http = tls.NewListener(l.http, h)
	}
	if s.OTLPGRPC == "" || !s.Has(RoleIngest) {
		return nil
	}
	if l.grpc, err = l.listen("tcp", s.OTLPGRPC); err != nil {
		return fmt.Errorf("--otlp-grpc: %w", err)
	}
	return nil
}

// close closes sockets that nobody has served on; for the others it is too late, and no harm.
func (l *listeners) close() error {
	for _, s := range []net.Listener{l.http, l.grpc} {
		if s != nil {
			_ = s.Close() // most often it is closed already
		}
	}
	return nil
}

func (l *listeners) addresses(server *jetstream.Server) Addresses {
	scheme := "http://"
	if l.tls != nil {
		scheme = "https://"
	}
	a := Addresses{HTTP: scheme + l.http.Addr().String()}
	if l.grpc != nil {
		a.OTLPGRPC = l.grpc.Addr().String()
	}
	if server != nil {
		a.NATS = server.ClientURL()
	}
	return a
}

// serve answers until ctx ends and then lets what is under way come to its end.
func (l *listeners) serve(g *errgroup.Group, ctx context.Context, a *app) {
	h := a.console.HTTP()
	h.RegisterOnShutdown(func() { close(a.ending) }) // event streams would else hold the end up
	g.Go(func() error {
		if err := h.Serve(l.http); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return drain(ctx, h)
	})
	if l.grpc != nil {
		l.serveGRPC(g, ctx, a)
	}
}

func drain(ctx context.Context, h *http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if h.Shutdown(ctx) != nil {
		return h.Close() // who has not ended by now is cut off
	}
	return nil
}

func (l *listeners) serveGRPC(g *errgroup.Group, ctx context.Context, a *app) {
	c := otlp.GRPC{Authenticate: a.access.authenticate}
	if l.tls != nil {
		c.Credentials = credentials.NewTLS(l.tls)
	}
	server := a.intake.otlp.NewGRPC(c)
	g.Go(func() error {
		if err := server.Serve(l.grpc); err != nil {
			return fmt.Errorf("serve OTLP over gRPC: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		t := time.AfterFunc(drainTimeout, server.Stop)
		defer t.Stop()
		server.GracefulStop()
		return nil
	})
}
