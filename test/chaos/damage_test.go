//go:build peers

package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/test/peer"
)

// A damage is something that a disk or a hand does to the store while nothing runs.
type damage struct {
	name string
	do   func(tb testing.TB, data string, random *rand.Rand)
}

func damages() []damage {
	return []damage{
		{"flipped bits in LOG", func(tb testing.TB, data string, random *rand.Rand) {
			flipAnywhere(tb, blocks(tb, data, "LOG"), random, 3)
		}},
		{"flipped bit in the newest checkpoints", func(tb testing.TB, data string, random *rand.Rand) {
			flipLast(tb, blocks(tb, data, "LOG"), "log.commit.slo.")
		}},
		{"flipped bit in a change of definitions", func(tb testing.TB, data string, random *rand.Rand) {
			flipLast(tb, blocks(tb, data, "LOG"), "log.draft.mesh.change")
		}},
		{"flipped bits in HEADS", func(tb testing.TB, data string, random *rand.Rand) {
			flipAnywhere(tb, blocks(tb, data, "HEADS"), random, 3)
		}},
		{"flipped bits in snapshots", func(tb testing.TB, data string, random *rand.Rand) {
			flipAnywhere(tb, blocks(tb, data, "SNAP"), random, 3)
		}},
		{"LOG cut short", func(tb testing.TB, data string, random *rand.Rand) {
			cut(tb, last(tb, blocks(tb, data, "LOG")), 0.3+0.5*random.Float64())
		}},
		{"LOG's newest block is gone", func(tb testing.TB, data string, random *rand.Rand) {
			remove(tb, last(tb, blocks(tb, data, "LOG")))
		}},
		{"snapshots are gone", func(tb testing.TB, data string, random *rand.Rand) {
			for _, b := range blocks(tb, data, "SNAP") {
				remove(tb, b)
			}
		}},
	}
}

// blocks returns the message files of a stream, sorted by number.
func blocks(tb testing.TB, data, stream string) []string {
	tb.Helper()
	var out []string
	err := filepath.WalkDir(data, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Ext(p) == ".blk" && strings.Contains(p, "/streams/"+stream+"/msgs/") {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	slices.SortFunc(out, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return out
}

func last(tb testing.TB, files []string) string {
	tb.Helper()
	if len(files) == 0 {
		tb.Fatal("the stream has no files: there is nothing to damage")
	}
	return files[len(files)-1]
}

func flipAnywhere(tb testing.TB, files []string, random *rand.Rand, times int) {
	tb.Helper()
	for range times {
		file := files[random.IntN(max(1, len(files)))]
		edit(tb, file, func(b []byte) []byte {
			if len(b) > 0 {
				b[random.IntN(len(b))] ^= 1 << random.IntN(8)
			}
			return b
		})
	}
}

// flipLast flips a bit shortly behind the last place where the subject stands: in the message's header or body.
func flipLast(tb testing.TB, files []string, subject string) {
	tb.Helper()
	for _, file := range slices.Backward(files) {
		found := false
		edit(tb, file, func(b []byte) []byte {
			if i := bytes.LastIndex(b, []byte(subject)); i >= 0 && i+len(subject)+80 < len(b) {
				b[i+len(subject)+80] ^= 4
				found = true
			}
			return b
		})
		if found {
			return
		}
	}
	tb.Fatalf("no message on %s is in the store", subject)
}

func cut(tb testing.TB, file string, keep float64) {
	tb.Helper()
	edit(tb, file, func(b []byte) []byte { return b[:int(float64(len(b))*keep)] })
}

func remove(tb testing.TB, file string) {
	tb.Helper()
	if err := os.Remove(file); err != nil {
		tb.Fatal(err)
	}
}

func edit(tb testing.TB, file string, change func([]byte) []byte) {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(file, change(b), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// A witness looks at a process again and again and remembers whether it ever said that something is wrong.
type witness struct {
	words   map[string]bool
	unknown map[string]bool // services that were UNKNOWN at some time
}

// look notes what readiness, states and coverage say now.
func (w *witness) look(e *peer.Evenkeel, names []string) {
	if err := e.Ready(); err != nil {
		for _, m := range reasons.FindAllStringSubmatch(err.Error(), -1) {
			if m[1] != "Ready" {
				w.words["not ready: "+m[1]] = true
			}
		}
	}
	all, err := e.Statuses()
	if err != nil {
		return
	}
	for _, s := range names {
		st := all[key(s)]
		if st.State == "UNKNOWN" {
			w.unknown[s] = true
			w.words["UNKNOWN: "+st.Reason] = true
		}
	}
}

// reasons finds the reasons in an answer of /readyz.
var reasons = regexp.MustCompile(`"reason":"([A-Za-z]+)"`)

// Damage to the files of the store between stop and start: a wrong number would be shown as if it were right, and somebody would
// spend a budget that is gone, or the engine would never start again and nobody would say why.
func TestPeersDamage(t *testing.T) {
	t.Parallel()
	everySeed(t, func(t *testing.T, seed uint64) {
		for i, dm := range damages() {
			t.Run(dm.name, func(t *testing.T) {
				t.Parallel()
				damaged(t, dm, seed*100+uint64(i))
			})
		}
	})
}

func damaged(t *testing.T, dm damage, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 5))
	names := services(4)
	e := peer.StartEvenkeel(t, peer.EvenkeelConfig{Config: definitions(t, names)})
	e.WaitReady(time.Minute)
	peer.Until(t, time.Minute, "all SLOs are there", func() error { return fresh(e, zeroes(names)) })
	d := start(t, newWorkload(names, seed, sender(t, e)))
	wait(t, 12*time.Second) // HEADS is at most ten seconds old
	e.Kill()
	dm.do(t, e.Data, random)
	e.Restart()

	w := &witness{words: map[string]bool{}, unknown: map[string]bool{}}
	err := works(t, e, w, names, 3*time.Second)
	mended := 0
	for rounds := 0; err != nil && rounds < 5; rounds++ { // what one choice brings back may show that more is damaged
		mended += mend(t, e, w)
		err = works(t, e, w, names, 13*time.Second) // a damaged partition looks again every ten seconds
	}
	t.Logf("%d findings mended; it said %v", mended, slices.Sorted(maps.Keys(w.words)))
	if err != nil {
		out, errs, code := e.Run("get", "slo")
		t.Fatalf("it does not work again: %v\nevenkeel get slo (exit code %d):\n%s%s", err, code, out, errs)
	}
	truth := d.end()
	if err := peer.Poll(t.Context(), 30*time.Second, func() error { w.look(e, names); return exact(e, truth) }); err != nil {
		t.Logf("not exact: %v", err)
		unmarked(t, e, truth, w)
	}
}

// works returns nil when the process becomes ready, knows the state of all SLOs and counts on. It does not wait for one that says it is
// damaged for as long as patience: that stays so until somebody mends it.
func works(t *testing.T, e *peer.Evenkeel, w *witness, names []string, patience time.Duration) error {
	var before map[string]peer.Status
	var damaged error
	var since time.Time
	err := peer.Poll(t.Context(), 30*time.Second, func() error {
		w.look(e, names)
		now, err := e.Statuses()
		if err = errors.Join(e.Ready(), err); err != nil {
			switch {
			case !strings.Contains(err.Error(), `"Damaged"`):
				since = time.Time{}
			case since.IsZero():
				since = time.Now()
			case time.Since(since) > patience:
				damaged = err
				return nil
			}
			return err
		}
		if err := known(e, names); err != nil {
			return err
		}
		if before == nil {
			before = now
		}
		for _, s := range names {
			if now[key(s)].Events.Total <= before[key(s)].Events.Total {
				return fmt.Errorf("%s does not count on from %v", s, now[key(s)].Events.Total)
			}
		}
		return nil
	})
	return errors.Join(err, damaged)
}

// unmarked fails for each service whose counts are wrong although nobody ever said so.
func unmarked(t *testing.T, e *peer.Evenkeel, truth map[string]count, w *witness) {
	t.Helper()
	all, err := e.Statuses()
	if err != nil {
		t.Fatal(err)
	}
	for s, c := range truth {
		st := all[key(s)]
		wrong := st.Events.Good != float64(c.good) || st.Events.Total != float64(c.total)
		if wrong && !w.unknown[s] && st.Coverage >= 1 {
			t.Errorf("%s is silently wrong: %+v, the sender counted %+v", s, st, c)
		}
	}
}

// A finding is what `evenkeel repair` says of one damage.
type finding struct {
	ID, Reason, Message string
	Choices             []struct{ ID, Message string }
}

// mend asks `evenkeel repair` what is damaged and accepts the first choice for each finding. It returns how many it mended.
func mend(t *testing.T, e *peer.Evenkeel, w *witness) int {
	t.Helper()
	out, errs, code := e.Run("repair", "-o", "json")
	var list struct{ Items []finding }
	if code != 0 && code != 1 {
		t.Fatalf("evenkeel repair: exit code %d\n%s%s", code, out, errs)
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("evenkeel repair -o json: %v\n%s", err, out)
	}
	accept := []string{"repair"}
	for _, f := range list.Items {
		w.words["repair: "+f.Reason] = true
		t.Logf("repair: %s %s: %s", f.ID, f.Reason, f.Message)
		if len(f.Choices) == 0 || f.Message == "" {
			t.Errorf("finding %s (%s) explains nothing or offers no choice", f.ID, f.Reason)
			continue
		}
		accept = append(accept, "--accept", f.ID+"="+f.Choices[0].ID)
	}
	if out, errs, code := e.Run(accept...); len(accept) > 1 && code != 0 && code != 1 {
		t.Errorf("evenkeel %v: exit code %d\n%s%s", accept, code, out, errs)
	}
	return len(list.Items)
}

// A damage that does nothing would let the test above pass for nothing.
func TestPeersDamageDamages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "streams", "LOG", "msgs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := []byte(strings.Repeat("x", 200) + "log.commit.slo.3" + strings.Repeat("y", 200))
	for _, n := range []int{1, 2, 10} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.blk", n)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := blocks(t, filepath.Dir(filepath.Dir(filepath.Dir(dir))), "LOG")
	if len(files) != 3 || filepath.Base(last(t, files)) != "10.blk" {
		t.Fatalf("blocks: %v", files)
	}
	flipLast(t, files, "log.commit.slo.")
	flipAnywhere(t, files[:1], rand.New(rand.NewPCG(1, 1)), 1)
	cut(t, files[1], 0.5)
	for i, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(b, text) {
			t.Errorf("file %d is as it was", i)
		}
	}
}
