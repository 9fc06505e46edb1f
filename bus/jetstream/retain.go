package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
)

// Retained says what one pass of retention found and did.
type Retained struct {
	First, Last uint64 // of LOG, after the pass
	Needed      uint64 // the lowest sequence that something still needs
	By          string // what needs it: "slo/3", "EVENTS", or "" where only the reserve holds
	Purged      uint64 // messages dropped from LOG
	Snapshots   int    // snapshots dropped
}

// snapshotGrace is how long a snapshot is kept that no checkpoint refers to (yet).
const snapshotGrace = 10 * time.Minute

// Retain drops from LOG what nothing needs any more: what lies before the snapshot that each partition of each enabled stage could
// still start from, and has been taken by EVENTS, LEDGER and DETAIL, less the reserve. A partition without a checkpoint holds
// everything. It drops the snapshots that are done with.
func (l *Log) Retain(ctx context.Context) (Retained, error) {
	info, err := l.info(ctx, streamLog)
	if err != nil {
		return Retained{}, err
	}
	r := Retained{First: info.State.FirstSeq, Last: info.State.LastSeq, Needed: info.State.LastSeq + 1}
	if m, _, err := l.loadMeta(ctx); err != nil || bus.TimeOf(time.Now()) < m.Busy {
		return r, err // a backup is being taken
	}
	kept, err := l.neededByStages(ctx, &r)
	if err != nil {
		return r, err
	}
	for _, s := range []struct{ stream, source string }{{streamEvents, bus.SubjectEvent}, {streamLedger, bus.SubjectLedger}, {streamDetail, bus.SubjectDetail}} {
		if err := l.neededBySource(ctx, &r, s.stream, s.source); err != nil {
			return r, err
		}
	}
	if err := l.purge(ctx, &r, info.State); err != nil {
		return r, err
	}
	r.Snapshots, err = l.dropSnapshots(ctx, kept)
	return r, err
}

func (r *Retained) need(seq uint64, by string) {
	if seq < r.Needed {
		r.Needed, r.By = seq, by
	}
}

// keep says which snapshots of a partition are needed.
type keep struct {
	newest, fallback string
	floor            uint64 // those with a lower number are done with, whatever their age
}

// neededByStages returns the snapshots that checkpoints refer to, by partition.
func (l *Log) neededByStages(ctx context.Context, r *Retained) (map[string]keep, error) {
	kept := map[string]keep{}
	for _, s := range l.config.Stages {
		for n := range max(1, s.Partitions) {
			cp, err := l.Head(ctx, s.Name, n)
			var d *bus.DamageError
			if errors.As(err, &d) {
				r.need(0, partitionKey(s.Name, n)) // until it is mended, nothing it could need is dropped
				continue
			}
			if err != nil {
				return nil, err
			}
			from := cp.Snapshot
			if cp.Fallback.Name != "" {
				from = cp.Fallback
			}
			kept[partitionKey(s.Name, n)] = keep{cp.Snapshot.Name, cp.Fallback.Name, snapshotNumber(from.Name)}
			r.need(from.Position.Seq, partitionKey(s.Name, n))
		}
	}
	return kept, nil
}

// neededBySource finds out how far a stream has taken its part of LOG: when it has the newest message of that part, all; else up
// to the last one that it has.
func (l *Log) neededBySource(ctx context.Context, r *Retained, stream, source string) error {
	newest, err := l.lastMsg(ctx, streamLog, source+">")
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	taken, err := l.sourced(ctx, stream)
	if err != nil {
		return err
	}
	if taken < newest.Sequence {
		r.need(taken+1, stream)
	}
	return nil
}

// sourced returns the sequence in LOG of the last message that a stream has taken from it; 0 where that is not known.
func (l *Log) sourced(ctx context.Context, stream string) (uint64, error) {
	info, err := l.info(ctx, stream)
	if err != nil {
		return 0, err
	}
	if info.State.LastSeq == 0 {
		return 0, nil
	}
	raw, err := l.msgAt(ctx, stream, info.State.LastSeq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	// "LOG <sequence> <filter> <destination> <subject>"
	f := strings.Fields(raw.Header.Get("Nats-Stream-Source"))
	if len(f) < 2 {
		return 0, nil
	}
	n, err := strconv.ParseUint(f[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("stream %s: source header %q: %w", stream, raw.Header.Get("Nats-Stream-Source"), err)
	}
	return n, nil
}

// purge drops what is before the needed sequence less the reserve.
func (l *Log) purge(ctx context.Context, r *Retained, st jetstream.StreamState) error {
	until, err := l.lessReserve(ctx, min(r.Needed, st.LastSeq), st)
	if err != nil || until <= st.FirstSeq {
		return err
	}
	var resp struct {
		Error  *jetstream.APIError `json:"error"`
		Purged uint64              `json:"purged"`
	}
	if err := l.ask(ctx, "STREAM.PURGE."+streamLog, map[string]any{"seq": until}, &resp); err != nil {
		return err
	}
	if resp.Error != nil {
		return fmt.Errorf("purge LOG before %d: %w", until, resp.Error)
	}
	r.Purged, r.First = resp.Purged, until
	l.count.purged.Add(resp.Purged)
	return nil
}

// lessReserve moves a sequence back by the reserve: by its age or by its bytes (taken as average messages), whichever is less far.
func (l *Log) lessReserve(ctx context.Context, until uint64, st jetstream.StreamState) (uint64, error) {
	if until <= st.FirstSeq || st.Msgs == 0 {
		return until, nil
	}
	average := max(1, int64(st.Bytes/st.Msgs))
	byBytes := until - min(until, uint64(l.config.Sizes.ReserveBytes/average))
	// The first sequence younger than the age, by halving.
	cut := time.Now().Add(-l.config.Sizes.ReserveAge)
	low, high := max(st.FirstSeq, byBytes), until
	for low < high {
		mid := low + (high-low)/2
		raw, err := l.msgAt(ctx, streamLog, mid)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return low, nil // a hole: be content with what is known
		case err != nil:
			return 0, err
		case raw.Time.Before(cut):
			low = mid + 1
		default:
			high = mid
		}
	}
	return low, nil
}

// dropSnapshots drops the snapshots that are done with: those older than what a checkpoint refers to, and those that no checkpoint
// has come to refer to. Of a partition that is damaged or not enabled it drops none.
func (l *Log) dropSnapshots(ctx context.Context, kept map[string]keep) (int, error) {
	subjects, err := l.subjects(ctx, streamSnap, subjectSnap+">")
	if err != nil {
		return 0, err
	}
	names := map[string]bool{}
	for _, s := range subjects {
		name := strings.TrimPrefix(s, subjectSnap)
		names[name[:max(0, strings.LastIndexByte(name, '.'))]] = true
	}
	dropped := 0
	for name := range names {
		done, err := l.snapshotDone(ctx, name, kept)
		if err == nil && done {
			dropped++
			err = l.dropSnapshot(ctx, name)
		}
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

func (l *Log) snapshotDone(ctx context.Context, name string, kept map[string]keep) (bool, error) {
	f := strings.Split(name, ".")
	if len(f) != 4 {
		return false, nil
	}
	k, ok := kept[f[0]+"."+f[1]]
	if !ok || name == k.newest || name == k.fallback {
		return false, nil
	}
	if snapshotNumber(name) < k.floor {
		return true, nil
	}
	raw, err := l.lastMsg(ctx, streamSnap, subjectSnap+name+".>")
	return err == nil && time.Since(raw.Time) > snapshotGrace, nilIfMissing(err)
}

// snapshotNumber returns the number in a snapshot's name, 0 where there is none.
func snapshotNumber(name string) uint64 {
	f := strings.Split(name, ".")
	if len(f) != 4 {
		return 0
	}
	n, err := strconv.ParseUint(f[2], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (l *Log) dropSnapshot(ctx context.Context, name string) error {
	var resp struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := l.ask(ctx, "STREAM.PURGE."+streamSnap, map[string]any{"filter": subjectSnap + name + ".>"}, &resp); err != nil {
		return err
	}
	if resp.Error != nil {
		return fmt.Errorf("drop snapshot %s: %w", name, resp.Error)
	}
	return nil
}

// subjects lists the subjects of a stream that has few of them.
func (l *Log) subjects(ctx context.Context, stream, filter string) ([]string, error) {
	var out []string
	for {
		var resp struct {
			Error *jetstream.APIError `json:"error"`
			Total int                 `json:"total"`
			State struct {
				Subjects map[string]uint64 `json:"subjects"`
			} `json:"state"`
		}
		if err := l.ask(ctx, "STREAM.INFO."+stream, map[string]any{"subjects_filter": filter, "offset": len(out)}, &resp); err != nil {
			return nil, err
		}
		if resp.Error != nil {
			return nil, fmt.Errorf("subjects of %s: %w", stream, resp.Error)
		}
		for s := range resp.State.Subjects {
			out = append(out, s)
		}
		if len(resp.State.Subjects) == 0 || len(out) >= resp.Total {
			return out, nil
		}
	}
}

// knownPartitions lists the partitions that HEADS knows and those of the enabled stages.
func (l *Log) knownPartitions(ctx context.Context) ([]StageInfo, error) {
	out := append([]StageInfo(nil), l.config.Stages...)
	subjects, err := l.subjects(ctx, streamHeads, subjectHeads+">")
	if err != nil {
		return nil, err
	}
	for _, s := range subjects {
		stage, p, _ := strings.Cut(strings.TrimPrefix(s, subjectHeads), ".")
		n, err := strconv.Atoi(p)
		if err != nil {
			continue
		}
		found := false
		for i := range out {
			if out[i].Name == stage {
				out[i].Partitions, found = max(out[i].Partitions, n+1), true
			}
		}
		if !found {
			out = append(out, StageInfo{Name: stage, Partitions: n + 1})
		}
	}
	return out, nil
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of numbers and strings always encode
	}
	return b
}
