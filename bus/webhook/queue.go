package webhook

import (
	"context"
	"hash/fnv"

	"evenkeel.dev/bus"
)

// A laneKey is one worker's share of a receiver's requests.
type laneKey struct {
	receiver string
	number   int
}

// A lane is a queue with at most one worker, which lives only while there is something to do.
type lane struct {
	key   laneKey
	queue []Request
	busy  bool // has a worker, or waits for one in Sender.ready
}

// Handle takes committed messages and returns at once. It is what bus.RunConfig.OnCommit calls.
func (s *Sender) Handle(ms []bus.Message) {
	for i := range ms {
		r, ok, err := s.c.Request(ms[i])
		switch {
		case err != nil:
			s.stats.Undecodable.Add(1)
		case ok:
			s.enqueue(r)
		}
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Sender) enqueue(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := laneKey{r.Receiver, s.laneOf(r.Key)}
	l := s.lanes[k]
	if l != nil {
		for i := range l.queue {
			if l.queue[i].ID == r.ID {
				l.queue[i] = r // the order before has had its time
				s.stats.Replaced.Add(1)
				return
			}
		}
	}
	if s.queued >= s.c.QueueMax || s.waiting[r.Receiver] >= s.c.ReceiverMax {
		s.stats.Dropped.Add(1)
		return
	}
	if l == nil {
		l = &lane{key: k}
		s.lanes[k] = l
	}
	l.queue = append(l.queue, r)
	s.count(r.Receiver, 1)
	if !l.busy {
		l.busy = true
		s.ready = append(s.ready, l)
	}
}

func (s *Sender) laneOf(key string) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % uint32(s.c.Workers))
}

func (s *Sender) count(receiver string, n int) {
	s.queued += n
	s.stats.Queued.Store(int64(s.queued))
	if s.waiting[receiver] += n; s.waiting[receiver] == 0 {
		delete(s.waiting, receiver)
	}
}

func (s *Sender) takeReady() []*lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	ls := s.ready
	s.ready = nil
	return ls
}

// drain sends a lane's requests until it is empty or ctx ends.
func (s *Sender) drain(ctx context.Context, l *lane) {
	for ctx.Err() == nil {
		r, ok := s.next(l)
		if !ok {
			return
		}
		s.report(ctx, s.attempt(ctx, &r))
	}
}

// next takes the lane's first request, or forgets the lane.
func (s *Sender) next(l *lane) (Request, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(l.queue) == 0 {
		delete(s.lanes, l.key)
		return Request{}, false
	}
	r := l.queue[0]
	l.queue = l.queue[1:]
	s.count(r.Receiver, -1)
	return r, true
}

// forget empties all queues.
func (s *Sender) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.lanes)
	clear(s.waiting)
	s.ready, s.queued = nil, 0
	s.stats.Queued.Store(0)
}

// lapsedMax bounds the memory of requests that were let lapse: more than can be on their way at once.
const lapsedMax = 20_000

// lapse remembers that a request was let lapse.
func (s *Sender) lapse(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lapsed[id] {
		return
	}
	s.lapsed[id] = true
	s.lapsedIDs = append(s.lapsedIDs, id)
	if len(s.lapsedIDs) > lapsedMax {
		delete(s.lapsed, s.lapsedIDs[0])
		s.lapsedIDs = s.lapsedIDs[1:]
	}
}

// setSent forgets that a request was let lapse: a later order for it was carried out.
func (s *Sender) setSent(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lapsed, id)
}

func (s *Sender) hasLapsed(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return id != "" && s.lapsed[id]
}
