package jetstream

import (
	"context"
	"fmt"

	"evenkeel.dev/bus"
)

// subjectLedgerKept is what LEDGER's subjects begin with; in LOG they are below "log.".
const subjectLedgerKept = "ledger."

// Ledger calls fn with what LEDGER keeps of what LOG took from a moment on and before another one, in order, and ends with what is there
// now. A message whose checksum does not fit is left out; their number is returned.
func (l *Log) Ledger(ctx context.Context, from, until bus.Time, fn func(data []byte) error) (damaged int, err error) {
	at := from.Std()
	e := &streamTail{l: l, stream: streamLedger, filter: subjectLedgerKept + ">", at: &at}
	defer e.drop()
	last, err := e.end(ctx)
	if err != nil || last == 0 {
		return 0, err
	}
	for {
		got, err := e.take(ctx)
		switch {
		case err != nil:
			return damaged, fmt.Errorf("ledger: %w", err)
		case bus.TimeOf(got.at) >= until:
			return damaged, nil
		case !checked("log."+got.msg.Subject, got.msg.Header, got.msg.Data):
			damaged++
		default:
			if err := fn(got.msg.Data); err != nil {
				return damaged, err
			}
		}
		if got.seq >= last {
			return damaged, nil
		}
	}
}
