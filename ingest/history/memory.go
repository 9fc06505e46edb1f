package history

import (
	"context"

	"evenkeel.dev/slo"
)

// Memory gives back what is in memory already, as a test holds it.
type Memory struct {
	place      string
	recordings []slo.Recording
}

// NewMemory returns a source of recordings; place is what [Origin] calls them.
func NewMemory(place string, rs []slo.Recording) *Memory { return &Memory{place, rs} }

// Origin implements [Source].
func (m *Memory) Origin() Origin {
	return Origin{Kind: "memory", Place: m.place, Protocol: ProtocolMemory}
}

// Read implements [Source].
func (m *Memory) Read(ctx context.Context, q Query, take func(*Moment) error) error {
	s := newSlice(q.From, q.To, fileBytes)
	for i := range m.recordings {
		r := &m.recordings[i]
		if !q.wants(r.Labels) {
			continue
		}
		c, err := s.columnOf(0, r.Labels, 0)
		if err != nil {
			return err
		}
		times := make([]int64, len(r.Times))
		for k, t := range r.Times {
			times[k] = int64(t)
		}
		if err := s.addPlain(c, times, r.Values); err != nil {
			return err
		}
	}
	if err := s.seal(); err != nil {
		return err
	}
	return s.merge(ctx, take)
}
