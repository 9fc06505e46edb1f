package stories

import (
	"fmt"
	"strconv"
	"strings"

	"evenkeel.dev/slo"
)

// parts returns what the gate makes of a native histogram: the lines of its parts and of its count. Any other line stays as it is.
func (ln line) parts() ([]line, error) {
	if ln.native == "" {
		return []line{ln}, nil
	}
	f := strings.Split(ln.native, "/")
	if len(f) != 3 {
		return nil, fmt.Errorf("%q is no THRESHOLD/SCHEMA/INDEX:COUNT,INDEX:COUNT", ln.native)
	}
	at, err := slo.ParseDecimal(f[0])
	if err != nil {
		return nil, err
	}
	h, err := parseHistogram(f[1], f[2])
	if err != nil {
		return nil, err
	}
	name, labels, _ := strings.Cut(ln.series, "{")
	labels = strings.TrimSuffix(labels, "}")
	out := []line{ln.times(fmt.Sprintf("%s_count{%s}", name, labels), h.Count)}
	cut := slo.NewCut(at)
	cut.Parts(h, func(p slo.Part, count float64) {
		series := fmt.Sprintf("%s%s{%s,%s=%q,%s=%q}", name, slo.NativeSuffix, labels, slo.LabelAtMost, cut.Text, slo.LabelPart, p.Text())
		out = append(out, ln.times(series, count))
	})
	return out, nil
}

// times returns the line of another series, whose values are multiples of count.
func (ln line) times(series string, count float64) line {
	out := ln
	out.series, out.values = series, nil
	for _, v := range ln.values {
		v.v *= count
		out.values = append(out.values, v)
	}
	return out
}

func parseHistogram(schema, buckets string) (*slo.Histogram, error) {
	s, err := strconv.Atoi(schema)
	if err != nil {
		return nil, err
	}
	h := &slo.Histogram{Schema: int32(s)}
	for _, text := range strings.Split(buckets, ",") {
		var b slo.Bucket
		if _, err := fmt.Sscanf(text, "%d:%g", &b.Index, &b.Count); err != nil {
			return nil, fmt.Errorf("bucket %q: %w", text, err)
		}
		h.Positive = append(h.Positive, b)
		h.Count += b.Count
	}
	return h, h.Normalize()
}
