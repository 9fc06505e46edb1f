// Package export writes what is known of SLOs now in the Prometheus text format, under Evenkeel's own names and under those that the
// dashboards of Sloth and of Pyrra ask for.
//
// It computes nothing: each value is one of the status (see [slo.Status]) or follows from it by one step. What is not known has no sample, so that a
// graph has a gap there and no number that nobody measured. Objectives are written as the decimals they are.
//
// Families are written one after the other, as the format asks, straight to the writer: 100,000 SLOs need no more memory than their
// statuses and a line of labels each.
package export

import (
	"bufio"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// Sets of names.
const (
	SetEvenkeel = "evenkeel"
	SetSloth    = "sloth"
	SetPyrra    = "pyrra"
)

// sets are all of them, in the order in which they are written.
var sets = []struct {
	name     string
	labels   func(*slo.Item) string
	families func([]slo.Item) []family
}{
	{SetEvenkeel, ownLabels, ownFamilies},
	{SetSloth, slothLabels, slothFamilies},
	{SetPyrra, pyrraLabels, pyrraFamilies},
}

// ParseSets reads a list of sets, "sloth,evenkeel". Of nothing it is Evenkeel's own.
func ParseSets(text string) ([]string, error) {
	if text == "" {
		return []string{SetEvenkeel}, nil
	}
	var out []string
	for n := range strings.SplitSeq(text, ",") {
		if n = strings.TrimSpace(n); n != SetEvenkeel && n != SetSloth && n != SetPyrra {
			return nil, fmt.Errorf("names %q are not known; they are %s, %s or %s, or several of them with commas between", n, SetEvenkeel, SetSloth, SetPyrra)
		}
		out = append(out, n)
	}
	return out, nil
}

// A family is one metric: its name, type and help, and its samples of one SLO.
type family struct {
	name, kind, help string
	samples          func(it *slo.Item, emit emitter)
}

// An emitter writes a sample; labels are those beside the SLO's own, `window="1h"`, or "".
type emitter func(labels, value string)

// Write writes the sets of names of all items.
func Write(w io.Writer, items []slo.Item, names []string) error {
	b := bufio.NewWriterSize(w, 64<<10)
	for _, set := range sets {
		if !slices.Contains(names, set.name) {
			continue
		}
		labels := make([]string, len(items))
		for i := range items {
			labels[i] = set.labels(&items[i])
		}
		for _, f := range set.families(items) {
			f.write(b, items, labels)
		}
	}
	return b.Flush()
}

// write leaves out a family without a sample. What cannot be written is remembered by the writer.
func (f *family) write(b *bufio.Writer, items []slo.Item, labels []string) {
	began := false
	for i := range items {
		f.samples(&items[i], func(more, value string) {
			if !began {
				began = true
				fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, f.kind)
			}
			if more != "" {
				more = "," + more
			}
			for _, s := range []string{f.name, "{", labels[i], more, "} ", value, "\n"} {
				_, _ = b.WriteString(s) // Flush tells
			}
		})
	}
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// label writes a label and its value.
func label(name, value string) string {
	return name + `="` + escapes.Replace(strings.ToValidUTF8(value, "\ufffd")) + `"`
}

func float(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func seconds(t bus.Time) string { return float(float64(t) / 1000) }

// gauge is a family of one sample for each SLO, "" where nothing is known.
func gauge(name, help string, value func(*slo.Item) string) family {
	return single(name, "gauge", help, value)
}

func single(name, kind, help string, value func(*slo.Item) string) family {
	return family{name, kind, help, func(it *slo.Item, emit emitter) {
		if v := value(it); v != "" {
			emit("", v)
		}
	}}
}

// period is the length of the whole window: of a calendar, that of the period at hand.
func period(it *slo.Item) bus.Time {
	if p := it.Period; p != nil && p.Until > p.From {
		return p.Until.Time() - p.From.Time()
	}
	return it.Window.Duration.Time()
}

// share is the budget as a share of what is counted, 1 - objective, to the last digit.
func share(it *slo.Item) *big.Rat { return new(big.Rat).Sub(big.NewRat(1, 1), it.Objective.Rat()) }

func sli(it *slo.Item) string {
	if it.SLI == nil {
		return ""
	}
	return it.SLI.String()
}

func remaining(it *slo.Item) string {
	if it.Budget.RemainingRatio == nil {
		return ""
	}
	return float(*it.Budget.RemainingRatio)
}
