package cluster

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// A link that lets bytes through while it is said to be down makes a test of a fault pass without the fault.
func TestLink(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	l := NewLink(t, server.Addr().String())
	conn := dial(t, l)
	must(t, echo(conn, 5*time.Second))

	l.Freeze()
	if err := echo(conn, 200*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("frozen: %v, want silence", err)
	}
	l.Thaw()
	if text, err := bufio.NewReader(conn).ReadString('\n'); text != "hello\n" {
		t.Errorf("after the thaw: %q, %v; want what was held back", text, err)
	}

	l.Cut()
	if err := echo(conn, 5*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("cut: %v, want a closed connection", err)
	}
	conn = dial(t, l)
	must(t, echo(conn, 5*time.Second))
	l.Block()
	for _, c := range []net.Conn{conn, dial(t, l)} {
		if err := echo(c, 5*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("blocked: %v, want a closed connection", err)
		}
	}
	if n := l.Connections(); n != 0 {
		t.Errorf("%d connections on a blocked link", n)
	}
	l.Unblock()
	must(t, echo(dial(t, l), 5*time.Second))
}

func dial(t *testing.T, l *Link) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Address)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// echo sends a line and reads it back.
func echo(conn net.Conn, timeout time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	defer conn.SetDeadline(time.Time{})
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		return err
	}
	buf := make([]byte, len("hello\n"))
	_, err := io.ReadFull(conn, buf)
	return err
}
