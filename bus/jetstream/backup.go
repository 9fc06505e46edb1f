package jetstream

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"evenkeel.dev/bus"
)

// A backup is a tar file: meta.json; for each stream <NAME>/stream.json (its configuration and state as the server gives them) and its
// content in parts <NAME>/000001 …, <NAME>/end.json with their number and SHA-256; at last end.json. Sequences stay what they are.
//
// It is taken while everything runs. The order makes it consistent: EVENTS, LEDGER and DETAIL first, since what they lack they take
// from LOG after a restore; HEADS before LOG, since it must not know of checkpoints that LOG has not; SNAP last, since it must have
// what LOG's checkpoints refer to. Retention stands still meanwhile.
const (
	backupVersion = 1
	backupChunk   = 512 << 10
	backupBusy    = 5 * time.Minute // how long retention waits if the backup dies; renewed by each stream
	backupSilence = 30 * time.Second
	chunksMax     = 1 << 24 // of one stream: 8 TiB
)

func backupOrder() []string {
	return []string{streamEvents, streamLedger, streamDetail, streamHeads, streamLog, streamSnap}
}

type backupMeta struct {
	Version    int      `json:"v"`
	Generation uint64   `json:"generation"`
	Accepted   uint64   `json:"accepted,omitempty"`
	Time       bus.Time `json:"time"`
}

type backupStream struct {
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
}

type backupEnd struct {
	Parts int    `json:"parts"`
	Bytes int64  `json:"bytes"`
	Sum   string `json:"sha256"`
}

// Backup writes a consistent cut of all streams to w while everything goes on.
func (l *Log) Backup(ctx context.Context, w io.Writer) error {
	m, _, err := l.loadMeta(ctx)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	t := tar.NewWriter(w)
	if err := putJSON(t, "meta.json", backupMeta{Version: backupVersion, Generation: m.Generation, Accepted: m.Accepted, Time: bus.TimeOf(time.Now())}); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer l.busy(context.WithoutCancel(ctx), 0)
	for _, name := range backupOrder() {
		l.busy(ctx, backupBusy)
		if err := l.backupStream(ctx, t, name); err != nil {
			return fmt.Errorf("backup of %s: %w", name, err)
		}
	}
	if err := putJSON(t, "end.json", struct{}{}); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return t.Close()
}

// busy asks retention to stand still, or with 0 to go on.
func (l *Log) busy(ctx context.Context, d time.Duration) {
	m, seq, err := l.loadMeta(ctx)
	if err == nil {
		m.Busy = 0
		if d > 0 {
			m.Busy = bus.TimeOf(time.Now().Add(d))
		}
		err = l.storeMeta(ctx, m, seq)
	}
	if err != nil {
		l.config.Logger.Warn("retention could not be told of the backup", "err", err)
	}
}

func putJSON(t *tar.Writer, name string, v any) error { return put(t, name, encode(v)) }

func put(t *tar.Writer, name string, b []byte) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b))}); err != nil {
		return err
	}
	_, err := t.Write(b)
	return err
}

// backupStream asks the server for a snapshot of one stream, which comes in parts that are acknowledged one by one.
func (l *Log) backupStream(ctx context.Context, t *tar.Writer, name string) error {
	inbox := l.conn.NewInbox()
	sub, err := l.conn.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is going anyway
	var resp struct {
		Error *jetstream.APIError `json:"error"`
		backupStream
	}
	if err := l.ask(ctx, "STREAM.SNAPSHOT."+name, map[string]any{"deliver_subject": inbox, "no_consumers": true, "chunk_size": backupChunk}, &resp); err != nil {
		return err
	}
	if resp.Error != nil {
		return resp.Error
	}
	if err := putJSON(t, name+"/stream.json", resp.backupStream); err != nil {
		return err
	}
	end, sum := backupEnd{}, sha256.New()
	for {
		m, err := nextPart(ctx, sub)
		if err != nil {
			return err
		}
		if m == nil {
			break
		}
		end.Parts++
		end.Bytes += int64(len(m.Data))
		sum.Write(m.Data)
		if err := put(t, fmt.Sprintf("%s/%06d", name, end.Parts), m.Data); err != nil {
			return err
		}
		if m.Reply != "" {
			if err := l.conn.Publish(m.Reply, nil); err != nil {
				return err
			}
		}
	}
	end.Sum = hex.EncodeToString(sum.Sum(nil))
	return putJSON(t, name+"/end.json", end)
}

// nextPart returns the next part of a stream's snapshot, nil at its end.
func nextPart(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, backupSilence)
	defer cancel()
	m, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil, err
	}
	if len(m.Data) > 0 {
		return m, nil
	}
	if s := m.Header.Get("Status"); s != "" && s != "204" {
		return nil, fmt.Errorf("the server ended it: %s %s", s, m.Header.Get("Description"))
	}
	return nil, nil
}

// Restore reads a backup into a server that has none of the streams yet, and raises the log's generation. Call it before Open, with
// nothing else running.
func Restore(ctx context.Context, c Config, r io.Reader) error {
	l, err := dial(c)
	if err != nil {
		return err
	}
	defer l.conn.Close()
	if err := l.restore(ctx, tar.NewReader(r)); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

func (l *Log) restore(ctx context.Context, t *tar.Reader) error {
	for _, name := range append(backupOrder(), streamMeta) {
		if _, err := l.info(ctx, name); err == nil {
			return fmt.Errorf("stream %s exists; restore needs an empty server", name)
		} else if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
	}
	var m backupMeta
	if err := getJSON(t, "meta.json", &m); err != nil {
		return err
	}
	if m.Version != backupVersion || m.Generation == 0 {
		return fmt.Errorf("the backup has version %d; this program knows %d", m.Version, backupVersion)
	}
	for _, name := range backupOrder() {
		if err := l.restoreStream(ctx, t, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	var end struct{}
	if err := getJSON(t, "end.json", &end); err != nil {
		return err
	}
	next := meta{Version: 1, Generation: m.Generation + 1, Accepted: m.Accepted, Starts: map[string]uint64{}}
	for _, name := range []string{streamEvents, streamLedger, streamDetail} {
		n, err := l.sourced(ctx, name)
		if err != nil {
			return err
		}
		if n > 0 {
			next.Starts[name] = n + 1
		}
	}
	var err error
	if next.Void, err = l.dropHalfBatch(ctx); err != nil {
		return err
	}
	if _, err := l.js.CreateStream(ctx, l.streams()[0]); err != nil {
		return err
	}
	if err := l.storeMeta(ctx, next, 0); err != nil {
		return err
	}
	return l.createStreams(ctx)
}

func getJSON(t *tar.Reader, name string, to any) error {
	b, err := get(t, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func get(t *tar.Reader, name string) ([]byte, error) {
	h, err := t.Next()
	if err != nil {
		return nil, fmt.Errorf("the backup is cut short before %s: %w", name, err)
	}
	if h.Name != name || h.Size > maxPayload {
		return nil, fmt.Errorf("the backup has %s (%d bytes) where %s should be", h.Name, h.Size, name)
	}
	var b bytes.Buffer
	_, err = io.Copy(&b, t)
	return b.Bytes(), err
}

// restoreStream sends one stream's parts to the server.
func (l *Log) restoreStream(ctx context.Context, t *tar.Reader, name string) error {
	var s backupStream
	if err := getJSON(t, name+"/stream.json", &s); err != nil {
		return err
	}
	config, err := l.plainConfig(s.Config)
	if err != nil {
		return err
	}
	var resp struct {
		Error   *jetstream.APIError `json:"error"`
		Deliver string              `json:"deliver_subject"`
	}
	if err := l.ask(ctx, "STREAM.RESTORE."+name, map[string]any{"config": config, "state": s.State}, &resp); err != nil {
		return err
	}
	if resp.Error != nil {
		return resp.Error
	}
	end, sum := backupEnd{}, sha256.New()
	for {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("the backup is cut short: %w", err)
		}
		if h.Name == name+"/end.json" {
			break
		}
		end.Parts++
		if h.Name != fmt.Sprintf("%s/%06d", name, end.Parts) || h.Size > backupChunk*2 || end.Parts > chunksMax {
			return fmt.Errorf("the backup has %s (%d bytes) where part %d should be", h.Name, h.Size, end.Parts)
		}
		if err := l.sendPart(ctx, t, resp.Deliver, sum, &end); err != nil {
			return err
		}
	}
	var want backupEnd
	if err := json.NewDecoder(t).Decode(&want); err != nil {
		return fmt.Errorf("end of the stream: %w", err)
	}
	end.Sum = hex.EncodeToString(sum.Sum(nil))
	if end != want {
		return errors.New("the backup is damaged: its checksum does not fit")
	}
	return l.finishRestore(ctx, resp.Deliver)
}

func (l *Log) sendPart(ctx context.Context, t *tar.Reader, to string, sum hash.Hash, end *backupEnd) error {
	b, err := io.ReadAll(t)
	if err != nil {
		return err
	}
	sum.Write(b)
	end.Bytes += int64(len(b))
	ctx, cancel := context.WithTimeout(ctx, backupSilence)
	defer cancel()
	m, err := l.conn.RequestWithContext(ctx, to, b)
	if err != nil {
		return fmt.Errorf("part %d: %w", end.Parts, err)
	}
	return restoreAnswer(m.Data)
}

// finishRestore tells the server that all parts are there; it answers once the stream runs.
func (l *Log) finishRestore(ctx context.Context, to string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*backupSilence)
	defer cancel()
	m, err := l.conn.RequestWithContext(ctx, to, nil)
	if err != nil {
		return err
	}
	return restoreAnswer(m.Data)
}

func restoreAnswer(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	var resp struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(b, &resp); err != nil {
		return fmt.Errorf("answer %q: %w", b, err)
	}
	if resp.Error != nil {
		return resp.Error
	}
	return nil
}

// plainConfig takes sources and republishing out of a stream's configuration (they come back, with the place to go on from, once LOG is
// there too: the server itself takes a restored LOG for another stream and would begin at its front) and sets this cluster's number
// of replicas.
func (l *Log) plainConfig(raw json.RawMessage) (map[string]any, error) {
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("configuration in the backup: %w", err)
	}
	delete(c, "sources")
	delete(c, "republish")
	c["num_replicas"] = l.config.Replicas
	return c, nil
}

// dropHalfBatch removes a batch of which the cut took the beginning only, and returns its place: it counts as never committed.
func (l *Log) dropHalfBatch(ctx context.Context) (void [2]uint64, err error) {
	info, err := l.info(ctx, streamLog)
	if err != nil || info.State.Msgs == 0 {
		return void, err
	}
	last, err := l.msgAt(ctx, streamLog, info.State.LastSeq)
	if err != nil {
		return void, nilIfMissing(err)
	}
	id := last.Header.Get("Nats-Batch-Id")
	if id == "" || last.Header.Get("Nats-Batch-Commit") != "" {
		return void, nil
	}
	void[1] = last.Sequence + 1
	for seq := last.Sequence; seq >= info.State.FirstSeq && seq > 0; seq-- {
		m, err := l.msgAt(ctx, streamLog, seq)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return void, err
		}
		if err != nil || m.Header.Get("Nats-Batch-Id") != id {
			break
		}
		var resp struct {
			Error *jetstream.APIError `json:"error"`
		}
		if err := l.ask(ctx, "STREAM.MSG.DELETE."+streamLog, map[string]any{"seq": seq, "no_erase": true}, &resp); err != nil {
			return void, err
		}
		if resp.Error != nil {
			return void, resp.Error
		}
		void[0] = seq
	}
	return void, nil
}
