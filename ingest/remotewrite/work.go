package remotewrite

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
)

// A work is what one request needs: its buffers, and where its walk stands. It is used again.
type work struct {
	loan   loan
	packed []byte
	raw    []byte

	gate    *ingest.Gate
	arrival *ingest.Arrival
	symbols []symbol

	// The walk goes over the series in groups: first their labels are hashed, then all are looked up, then their samples are read.
	group   [groupSize]series
	hashes  [groupSize]ingest.Hash
	grouped int
	series  // the one at hand
	refs    []uint32
	key     []byte // labels of a 1.0 series that stand apart
	labels  bus.Labels
	format  format

	// counts of the request
	samples                   int
	histograms, histogramsBad int
	native                    native
	parts                     int // samples of histograms' parts, since memory was last taken for them
	exemplars                 int
	maxSamples                int
	problem                   string // the first, with the series it was found in
}

// A series is where one series of the body stands and what is known of it.
type series struct {
	number    int    // from 1
	labelData []byte // 1.0: label fields; 2.0: the whole message
	points    []byte // its fields from the first sample or histogram on
	hash      ingest.Hash
	flags     uint64
	start     bus.Time // 2.0, older senders: created timestamp
	why       string   // 2.0: why it has no hash
}

// A format is what differs between the versions once a series is grouped.
type format struct {
	histogramField uint32
	decode         func(*work) error // decodes the labels of the series at hand into k.labels
}

// groupSize is how many series are looked up together.
const groupSize = 16

// join puts the series at hand into the group, and takes the group when it is full.
func (k *work) join() error {
	if k.number == 1 && k.why == "" {
		k.nameSource()
	}
	k.group[k.grouped], k.hashes[k.grouped] = k.series, k.hash
	if k.grouped++; k.grouped < groupSize {
		return nil
	}
	return k.takeGroup()
}

// takeGroup offers the series of the group.
func (k *work) takeGroup() error {
	n, last := k.grouped, k.number
	k.grouped = 0
	k.arrival.Warm(k.hashes[:n])
	for i := range n {
		k.series = k.group[i]
		if err := k.addPoints(); err != nil {
			return err
		}
	}
	k.number = last
	return nil
}

func (k *work) begin(g *ingest.Gate, a *ingest.Arrival, maxSamples int) {
	k.gate, k.arrival, k.maxSamples = g, a, maxSamples
}

// keepBytes bounds the buffers that an idle work holds on to.
const keepBytes = 1 << 20

func (k *work) reset() {
	trim := func(b []byte) []byte {
		if cap(b) > keepBytes {
			return nil
		}
		return b[:0]
	}
	old := *k
	*k = work{packed: trim(old.packed), raw: trim(old.raw), key: trim(old.key), native: old.native}
	// These point into raw; what is not cleared would be kept alive at most until the next use.
	if cap(old.symbols)*symbolBytes <= keepBytes {
		k.symbols = old.symbols[:0]
	}
	if cap(old.refs)*4 <= keepBytes {
		k.refs = old.refs[:0]
	}
	clear(old.labels[:cap(old.labels)])
	k.labels = old.labels[:0]
}

// nameSource tells the arrival its cluster and replica, as the labels of the first series say: all series of a request have the
// same external labels. It holds for the series that nobody needs; the others bring their own.
func (k *work) nameSource() {
	if k.format.decode(k) != nil {
		return
	}
	cluster, replica := k.labels.Get("cluster"), k.labels.Get("__replica__")
	if cluster != "" || replica != "" {
		k.arrival.Source(cluster, replica)
	}
}

// addPoints offers the series at hand with its samples and histograms, or refuses them all.
func (k *work) addPoints() error {
	why, sampleField, histogramField := k.why, uint32(2), k.format.histogramField
	if why != "" && k.problem == "" {
		k.note(why)
	}
	var ref ingest.Ref
	known := false
	r := reader{b: k.points}
	for r.next() {
		if r.wire != wireBytes || r.num != sampleField && r.num != histogramField {
			continue
		}
		if err := k.countPoint(); err != nil {
			return err
		}
		var err error
		switch {
		case r.num == histogramField:
			k.histograms++
			err = k.addHistogram(r.data, why != "")
		case why != "":
			k.samples++
			k.arrival.Refuse(ingest.Malformed, 1)
		default:
			k.samples++
			if !known {
				if ref, known = k.arrival.RefHash(k.hash); !known {
					ref, err = k.learn(k.hash, "")
					known = true
				}
			}
			if err == nil {
				err = k.addSample(ref, r.data)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// countPoint holds the request to its bounds and counts the memory that its samples will take in the arrival.
func (k *work) countPoint() error {
	const chunk, bytes = 4096, 64 // a histogram makes two samples of 32 bytes
	n := k.samples + k.histograms
	if n >= k.maxSamples {
		return &statusError{http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d samples", k.maxSamples)}
	}
	if n > 0 && n%chunk == 0 {
		return k.loan.take(chunk * bytes)
	}
	return nil
}

// addSample takes one sample, of either version: value, timestamp and, in 2.0, start timestamp.
func (k *work) addSample(ref ingest.Ref, b []byte) error {
	if v, t, ok := plainSample(b); ok {
		k.arrival.Add(ref, bus.Time(t), k.start, v)
		return nil
	}
	var v float64
	var t bus.Time
	start := k.start
	r := reader{b: b}
	for r.next() {
		switch {
		case r.is(1, wire64):
			v = r.float()
		case r.is(2, wireVarint):
			t = bus.Time(r.value)
		case r.is(3, wireVarint):
			start = bus.Time(r.value)
		}
	}
	if r.bad {
		return malformed("a sample of series %d is cut short or damaged", k.number)
	}
	k.arrival.Add(ref, t, start, v)
	return nil
}

// learn shows the gate a series for the first time. With a suffix it is the part of a histogram that has this name, and more labels.
func (k *work) learn(h ingest.Hash, suffix string, more ...bus.Label) (ingest.Ref, error) {
	ls, err := k.suffixed(suffix)
	if err != nil {
		return ingest.Ref{}, err
	}
	k.labels = append(ls, more...)
	ref, err := k.arrival.LearnHash(h, k.labels, k.flags)
	if err != nil {
		k.note(err.Error())
	}
	return ref, nil
}

// suffixed decodes the labels of the series at hand, with a suffix to its name.
func (k *work) suffixed(suffix string) (bus.Labels, error) {
	if err := k.format.decode(k); err != nil {
		return nil, err
	}
	for i := range k.labels {
		if l := &k.labels[i]; suffix != "" && l.Name == "__name__" {
			l.Value += suffix
		}
	}
	return k.labels, nil
}

// note remembers the first problem for the answer.
func (k *work) note(problem string) {
	if k.problem == "" {
		k.problem = fmt.Sprintf("series %d: %s", k.number, problem)
	}
}

// written sets the headers that say how much is safe, counting what is dropped on purpose as written.
func (k *work) written(h http.Header, refused int) {
	h.Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(k.samples-(refused-k.histogramsBad)))
	h.Set("X-Prometheus-Remote-Write-Histograms-Written", strconv.Itoa(k.histograms-k.histogramsBad))
	h.Set("X-Prometheus-Remote-Write-Exemplars-Written", strconv.Itoa(k.exemplars))
}

// explain is the text of a 400: how many, why, and the first problem.
func (k *work) explain(refused *ingest.Refused) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d samples were refused, the rest is kept:", refused.Total(), k.samples+k.histograms)
	for _, r := range ingest.Reasons() {
		if n := refused[r]; n > 0 {
			fmt.Fprintf(&b, " %s %d", r, n)
		}
	}
	if k.problem != "" {
		fmt.Fprintf(&b, "; %s", k.problem)
	}
	return b.String()
}
