package mesh

import (
	"fmt"

	"evenkeel.dev/bus"
)

// restate says again what stands, at the first tick after messages went missing, a repair was made or a new stage asked for it: a stage whose copy of a change
// is gone would not know of an SLO that the catalogue shows. It is one [Change] or several, under a new revision, so that ingest
// announces all series again; it holds no source text, emits no public events and deletes nothing: of what was lost, that
// something had been deleted is the one thing that is safer not to guess.
func (c *Catalogue) restate() ([]bus.Draft, error) {
	c.due = false
	if len(c.byRef) == 0 {
		return nil, nil
	}
	c.revision++
	c.stats.Restated++
	var out []bus.Draft
	ch, bytes := Change{Accepted: true, Reason: ReasonRestated, Revision: c.revision}, 0
	flush := func() error {
		d, err := drafts(ch, nil)
		if err != nil {
			return fmt.Errorf("restate the catalogue: %w", err)
		}
		out = append(out, d...)
		ch.Set, bytes = nil, 0
		return nil
	}
	for _, r := range c.refs() {
		d := *c.byRef[r]
		d.Source, d.Spec = "", nil
		if size := len(d.Compiled) + 512; bytes > 0 && bytes+size > c.bounds.ProposalBytes {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		bytes += len(d.Compiled) + 512
		ch.Set = append(ch.Set, d)
	}
	return out, flush()
}
