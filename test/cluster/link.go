package cluster

import (
	"net"
	"sync"
	"testing"
)

// A Link is a TCP proxy of the test between clients and a server, which can be cut, blocked and frozen while both ends live on.
type Link struct {
	Address string // where clients connect

	target   string
	listener net.Listener
	pumps    sync.WaitGroup

	mu      sync.Mutex
	thawed  *sync.Cond // of mu: frozen or closed have changed
	conns   map[net.Conn]bool
	blocked bool
	frozen  bool
	closed  bool
}

// NewLink starts a link to the target's address. It ends with the test.
func NewLink(tb testing.TB, target string) *Link {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	l := &Link{Address: listener.Addr().String(), target: target, listener: listener, conns: map[net.Conn]bool{}}
	l.thawed = sync.NewCond(&l.mu)
	l.pumps.Go(l.accept)
	tb.Cleanup(l.close)
	return l
}

// Cut closes all connections that are open: each request and watch on them ends with an error. New ones are let through.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut()
}

// Block closes all connections, and new ones at once, until Unblock.
func (l *Link) Block() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocked = true
	l.cut()
}

// Unblock lets new connections through again.
func (l *Link) Unblock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocked = false
}

// Freeze lets all connections stand, new ones too, and no byte through, until Thaw. So looks a firewall that drops packets: nobody is
// told of anything.
func (l *Link) Freeze() { l.freeze(true) }

// Thaw ends Freeze: what was held back goes on.
func (l *Link) Thaw() { l.freeze(false) }

// Connections is how many clients are connected.
func (l *Link) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns) / 2
}

func (l *Link) freeze(frozen bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = frozen
	l.thawed.Broadcast()
}

func (l *Link) cut() {
	for c := range l.conns {
		c.Close()
	}
	clear(l.conns)
	l.thawed.Broadcast()
}

func (l *Link) close() {
	l.listener.Close()
	l.mu.Lock()
	l.closed = true
	l.cut()
	l.mu.Unlock()
	l.pumps.Wait()
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.pumps.Go(func() { l.serve(client) })
	}
}

func (l *Link) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !l.join(client, server) {
		return
	}
	defer l.part(client, server)
	done := make(chan struct{})
	l.pumps.Go(func() {
		defer close(done)
		l.pump(server, client)
	})
	l.pump(client, server)
	<-done
}

// pump copies from one end to the other; when one direction ends, both ends are closed.
func (l *Link) pump(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !l.pass(from) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return // io.EOF too: TLS closes both ways at once
		}
	}
}

// pass waits while the link is frozen and reports whether the connection still stands.
func (l *Link) pass(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.frozen && !l.closed && l.conns[c] {
		l.thawed.Wait()
	}
	return l.conns[c]
}

func (l *Link) join(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blocked || l.closed {
		return false
	}
	for _, c := range conns {
		l.conns[c] = true
	}
	return true
}

func (l *Link) part(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		delete(l.conns, c)
	}
}
