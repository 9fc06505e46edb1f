package slo

import (
	"math"
	"strconv"
	"strings"
)

// Native histograms change their resolution while they count: when they have too many buckets, each two become one. So what is counted of
// them must not hang on one resolution. A cut divides a histogram at a threshold, on all resolutions that it may ever come down to:
//
//	below/-4    all below the bucket, in the coarsest schema, that holds the threshold
//	within/-4   in that bucket
//	lower/-3    of that bucket the lower half, which is one bucket of schema -3
//	upper/-3    and the upper half; one of them holds the threshold and is divided again:
//	lower/-2    …
//	upper/3     … up to the schema that the histogram has
//
// Each part is a counter of its own, exact whatever the resolution is later, and histograms are merged by adding parts. What a part adds
// to the count at or below the threshold is fixed: within/-4 adds its interpolated share f(-4); the halves at schema s add what is
// wrong with it, so that the bucket of schema s counts with f(s) and what lies beside it with 1 or 0. When a histogram becomes coarser its
// finest parts cease to come, and the rest goes on: nothing is counted twice, nothing is lost, and nobody must remember anything.
//
// Where the zero bucket is so wide that it holds lower bounds of coarse buckets, the first part is of the coarsest schema without that.

// Labels of the series that hold parts of histograms, see [Cut.Parts].
const (
	LabelAtMost = "__at_most__"
	LabelPart   = "__part__"
	// NativeSuffix is what is appended to the histogram's name.
	NativeSuffix = "_native_bucket"
)

const (
	schemas = FinestSchema - CoarsestSchema + 1
	// fractionUnit is what fractions are rounded to, so that sums of them times whole numbers up to 2^33 are exact: whole events stay
	// whole. It is an error of half a millionth of one bucket.
	fractionUnit = 1.0 / (1 << 20)
)

// A Cut is a threshold with its place in each schema.
type Cut struct {
	At       float64
	Text     string           // of the label LabelAtMost
	index    [schemas]int32   // of the bucket that holds it, by schema
	fraction [schemas]float64 // of that bucket which is at or below it
	Grid     bool             // bounds around the threshold are counted too, for percentiles
}

// NewCut returns the cut at a threshold, which is above 0.
func NewCut(atMost Decimal) *Cut {
	at := atMost.Float()
	c := &Cut{At: at, Text: number(at)}
	i := int32(math.Ceil(math.Ldexp(math.Log2(at), FinestSchema)))
	for bucketBound(i-1, FinestSchema) >= at {
		i--
	}
	for bucketBound(i, FinestSchema) < at {
		i++
	}
	for s := int32(FinestSchema); s >= CoarsestSchema; s-- {
		c.index[s-CoarsestSchema] = i
		f := math.Ldexp(math.Log2(at), int(s)) - float64(i-1) // linear in the logarithm, as Prometheus' histogram_fraction
		c.fraction[s-CoarsestSchema] = quantum(f)
		i = coarser(i, 1)
	}
	return c
}

func quantum(f float64) float64 {
	return math.Round(min(max(f, 0), 1)/fractionUnit) * fractionUnit
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func (c *Cut) in(schema int32) (index int32, fraction float64) {
	return c.index[schema-CoarsestSchema], c.fraction[schema-CoarsestSchema]
}

// Bounds returns the bounds of the bucket that holds the threshold in a schema: a count at or below the threshold is never less than that
// at or below lower, and never more than that at or below upper.
func (c *Cut) Bounds(schema int32) (lower, upper float64) {
	i, _ := c.in(schema)
	return bucketBound(i-1, schema), bucketBound(i, schema)
}

// Share returns which part of the bucket that holds the threshold counts as at or below it, in a schema: the error is at most the events
// in that bucket.
func (c *Cut) Share(schema int32) float64 {
	_, f := c.in(schema)
	return f
}

// Kinds of a part.
const (
	partBelow  = "below"
	partWithin = "within"
	partLower  = "lower"
	partUpper  = "upper"
	partLinear = "linear" // in a bucket with the bounds that follow: the zero bucket, or a custom one
	partGrid   = "grid"   // at or below a bound, in a histogram of a schema (at most that of the grid)
)

// A Part is one counter of a cut.
type Part struct {
	kind         string
	schema       int32
	linear       bool // its schema is none: of a cut through the bucket with these bounds
	lower, upper float64
}

// Text returns the value of the label LabelPart.
func (p Part) Text() string {
	switch {
	case p.kind == partGrid:
		return p.kind + "/" + strconv.Itoa(int(p.schema)) + "/" + number(p.upper)
	case p.linear:
		return p.kind + "/" + number(p.lower) + "/" + number(p.upper)
	}
	return p.kind + "/" + strconv.Itoa(int(p.schema))
}

// ID returns numbers that tell parts of one cut apart.
func (p Part) ID() (a, b uint64) {
	k := uint64(p.kind[0])<<8 | uint64(p.kind[1])
	if p.kind == partGrid {
		return k ^ math.Float64bits(p.upper), uint64(uint32(p.schema))
	}
	if p.linear {
		return k ^ math.Float64bits(p.lower), ^math.Float64bits(p.upper)
	}
	return k, uint64(uint32(p.schema))
}

// factor returns what an increase of a part adds to the count at or below the threshold.
func (c *Cut) factor(text string) (float64, bool) {
	kind, rest, _ := strings.Cut(text, "/")
	if kind == partBelow {
		return 1, true
	}
	if kind == partLinear {
		from, to, _ := strings.Cut(rest, "/")
		lower, err := strconv.ParseFloat(from, 64)
		upper, err2 := strconv.ParseFloat(to, 64)
		if err != nil || err2 != nil || !(lower < upper) {
			return 0, false
		}
		return quantum((c.At - lower) / (upper - lower)), true
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n < CoarsestSchema || n > FinestSchema || n == CoarsestSchema && kind != partWithin {
		return 0, false
	}
	i, f := c.in(int32(n))
	if kind == partWithin {
		return f, true
	}
	_, before := c.in(int32(n) - 1)
	inLower := i&1 == 1 // buckets 2k-1 and 2k are the halves of bucket k
	switch {
	case kind == partLower && inLower, kind == partUpper && !inLower:
		return f - before, true
	case kind == partLower:
		return 1 - before, true
	case kind == partUpper:
		return -before, true
	}
	return 0, false
}

// Base returns the first part of a histogram: with another one its parts are others.
func (c *Cut) Base(h *Histogram) Part {
	if h.Schema == CustomBuckets {
		lower, upper := 0.0, math.Inf(1)
		for _, b := range h.Bounds {
			if upper = b; b >= c.At {
				break
			}
			lower, upper = b, math.Inf(1)
		}
		return Part{kind: partBelow, linear: true, lower: lower, upper: upper}
	}
	if c.At < h.ZeroThreshold {
		lower := 0.0
		if len(h.Negative) > 0 {
			lower = -h.ZeroThreshold
		}
		return Part{kind: partBelow, linear: true, lower: lower, upper: h.ZeroThreshold}
	}
	for s := int32(CoarsestSchema); s < h.Schema; s++ {
		if lower, _ := c.Bounds(s); lower >= h.ZeroThreshold {
			return Part{kind: partBelow, schema: s}
		}
	}
	return Part{kind: partBelow, schema: h.Schema}
}

// Parts calls add with each part of a histogram and its count; the parts of one base and schema are always the same.
func (c *Cut) Parts(h *Histogram, add func(Part, float64)) {
	if c.Grid {
		c.grid(h, add)
	}
	base := c.Base(h)
	if base.linear {
		c.linearParts(h, base, add)
		return
	}
	from, _ := c.in(base.schema)
	by := h.Schema - base.schema
	// Bucket k holds, by schemas finer, the buckets from first(k) to last(k).
	first := func(k, by int32) int32 { return (k-1)<<by + 1 }
	low, rest := below(h.Positive, first(from, by))
	add(base, total(h.Negative)+h.Zero+low)
	within, _ := below(rest, first(from+1, by))
	add(Part{kind: partWithin, schema: base.schema}, within)
	for s := base.schema + 1; s <= h.Schema; s++ {
		by = h.Schema - s
		i, _ := c.in(s)
		i += i & 1 // the upper half
		var lower, upper float64
		_, rest = below(rest, first(i-1, by))
		lower, rest2 := below(rest, first(i, by))
		upper, _ = below(rest2, first(i+1, by))
		add(Part{kind: partLower, schema: s}, lower)
		add(Part{kind: partUpper, schema: s}, upper)
	}
}

func (c *Cut) linearParts(h *Histogram, base Part, add func(Part, float64)) {
	within := base
	within.kind = partLinear
	if h.Schema != CustomBuckets {
		add(base, total(h.Negative))
		add(within, h.Zero)
		return
	}
	index := int32(0)
	for int(index) < len(h.Bounds) && h.Bounds[index] < c.At {
		index++
	}
	low, rest := below(h.Positive, index)
	add(base, low)
	if !math.IsInf(base.upper, 1) { // what lies above all bounds counts as above the threshold
		n, _ := below(rest, index+1)
		add(within, n)
	}
}

// EveryPart returns all parts that a histogram with a narrow zero bucket can have.
func EveryPart() []Part {
	ps := []Part{{kind: partBelow, schema: CoarsestSchema}, {kind: partWithin, schema: CoarsestSchema}}
	for s := int32(CoarsestSchema + 1); s <= FinestSchema; s++ {
		ps = append(ps, Part{kind: partLower, schema: s}, Part{kind: partUpper, schema: s})
	}
	return ps
}
