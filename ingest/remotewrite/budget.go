package remotewrite

import (
	"fmt"
	"io"
	"net/http"
	"sync"
)

// A budget bounds the memory of all bodies under work, and of those of one sender, so that one cannot keep the others out.
type budget struct {
	mu             sync.Mutex
	used           int
	max, maxSender int
	senders        map[string]int // only those that have a request under work
}

func (b *budget) take(sender string, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.max || b.senders[sender]+n > b.maxSender {
		return false
	}
	b.used += n
	b.senders[sender] += n
	return true
}

func (b *budget) give(sender string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.senders[sender] -= n; b.senders[sender] <= 0 {
		delete(b.senders, sender)
	}
}

func (b *budget) inFlight() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// A loan is what one request has taken from the budget.
type loan struct {
	budget *budget
	sender string
	bytes  int
}

func (l *loan) take(n int) error {
	if !l.budget.take(l.sender, n) {
		return &statusError{http.StatusServiceUnavailable, "too many bodies are under work; try again later"}
	}
	l.bytes += n
	return nil
}

func (l *loan) settle() {
	if l.bytes > 0 {
		l.budget.give(l.sender, l.bytes)
	}
	*l = loan{}
}

// grow returns b with room for n bytes in all, of which the request has counted so many before.
func (k *work) grow(b []byte, counted, n int) ([]byte, error) {
	if err := k.loan.take(n - counted); err != nil {
		return b, err
	}
	if n <= cap(b) {
		return b, nil
	}
	grown := make([]byte, len(b), n)
	copy(grown, b)
	return grown, nil
}

// read fills k.packed with the body, growing as bytes come in, so that a length that is only claimed costs nothing.
func (k *work) read(r io.Reader, claimed, limit int) error {
	var err error
	k.packed = k.packed[:0]
	for room := 0; ; {
		if len(k.packed) == room {
			next := min(max(2*room, claimed+1, 4<<10), limit+1)
			if room == 0 {
				next = min(next, 64<<10)
			}
			if k.packed, err = k.grow(k.packed, room, next); err != nil {
				return err
			}
			room = next
		}
		n, err := r.Read(k.packed[len(k.packed):room])
		k.packed = k.packed[:len(k.packed)+n]
		switch {
		case len(k.packed) > limit:
			return &statusError{http.StatusRequestEntityTooLarge, fmt.Sprintf("body is over %d bytes", limit)}
		case err == io.EOF:
			return nil
		case err != nil:
			return malformed("read body: %v", err)
		}
	}
}
