package otlp

import "sync/atomic"

type counter = atomic.Int64

type counters struct {
	requests, malformed, unsupported, tooLarge, unauthenticated, quota, busy, failed counter
	points                                                                           counter
	rejected                                                                         [reasonEnd]counter
}

func (c *counters) count(t *tally) {
	c.points.Add(t.points)
	for i, n := range t.rejected {
		if n > 0 {
			c.rejected[i].Add(n)
		}
	}
}

// Stats are counts since the start of the process. Requests are all that came; those that ended other than with success are in one
// of the fields below it.
type Stats struct {
	Requests        int64
	Malformed       int64
	Unsupported     int64 // method, content type or encoding
	TooLarge        int64
	Unauthenticated int64
	Quota           int64 // 429
	Busy            int64 // 503 for want of room
	Failed          int64 // 503 since the log did not answer
	Points          int64 // data points of requests that succeeded, rejected ones included
	Rejected        []Rejected
	InFlightBytes   int64
}

// Rejected is how many data points were left out for one reason: NoTime, NoValue, Start, Temporality, Buckets, Name, Attribute,
// Resource or Gate, the last standing for what the gate counts by reasons of its own.
type Rejected struct {
	Reason string
	Points int64
}

// Stats returns the counts so far.
func (r *Receiver) Stats() Stats {
	c := &r.stats
	s := Stats{
		Requests: c.requests.Load(), Malformed: c.malformed.Load(), Unsupported: c.unsupported.Load(), TooLarge: c.tooLarge.Load(),
		Unauthenticated: c.unauthenticated.Load(), Quota: c.quota.Load(), Busy: c.busy.Load(), Failed: c.failed.Load(),
		Points: c.points.Load(), InFlightBytes: r.http.used.Load() + r.grpc.used.Load(),
	}
	for i := reasonNone + 1; i < reasonEnd; i++ {
		s.Rejected = append(s.Rejected, Rejected{Reason: reasonLabel[i], Points: c.rejected[i].Load()})
	}
	return s
}
