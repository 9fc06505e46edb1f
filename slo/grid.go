package slo

import (
	"math"
	"strconv"
	"strings"
)

// For percentiles a native histogram is counted at bounds of a grid around the threshold too: each quarter of a doubling within a factor of
// four, each doubling farther out, all of them bounds of the histogram's own buckets, so that counts at them are exact and can be added.
// A histogram that is coarser than the grid has those bounds alone that are its own. When it becomes coarser its parts are other series,
// as if it had other bounds from then on; so a bound that some histograms do not have is noticed (see shape.go).
const (
	gridSchema = 2
	gridFine   = 2 * 4 // bounds of the grid on either side of the threshold
	gridDown   = 6     // doublings beyond those
	gridUp     = 3
	gridCustom = maxShapeBounds - 1
	// GridMax is how many parts a grid has at most.
	GridMax = maxShapeBounds
)

// grid calls add with the observations at or below each bound of the grid.
func (c *Cut) grid(h *Histogram, add func(Part, float64)) {
	part := func(bound, n float64) {
		add(Part{kind: partGrid, schema: min(h.Schema, gridSchema), upper: bound}, n)
	}
	if h.Schema == CustomBuckets {
		c.customGrid(h, part)
	} else {
		c.nativeGrid(h, part)
	}
	part(math.Inf(1), h.Count)
}

func (c *Cut) nativeGrid(h *Histogram, part func(bound, n float64)) {
	at, _ := c.in(gridSchema)
	own := int32(1) << (gridSchema - min(h.Schema, gridSchema)) // each so many bounds of the grid one is the histogram's
	sum, rest := total(h.Negative)+h.Zero, h.Positive
	const doubling = 1 << gridSchema
	for i := at - gridFine - gridDown*doubling; i <= at+gridFine+gridUp*doubling; i++ {
		far := i < at-gridFine || i > at+gridFine
		bound := bucketBound(i, gridSchema)
		if far && i&(doubling-1) != 0 || i&(own-1) != 0 || bound < h.ZeroThreshold {
			continue
		}
		index := i / own
		if h.Schema > gridSchema {
			index = i << (h.Schema - gridSchema)
		}
		var n float64
		n, rest = below(rest, index+1)
		sum += n
		part(bound, sum)
	}
}

// customGrid takes the bounds that the histogram lists, those around the threshold where they are too many.
func (c *Cut) customGrid(h *Histogram, part func(bound, n float64)) {
	at := 0
	for at < len(h.Bounds) && h.Bounds[at] < c.At {
		at++
	}
	first := max(0, min(at-gridCustom/2, len(h.Bounds)-gridCustom))
	sum, rest := 0.0, h.Positive
	for i, bound := range h.Bounds[:min(len(h.Bounds), first+gridCustom)] {
		var n float64
		n, rest = below(rest, int32(i)+1)
		if sum += n; i >= first {
			part(bound, sum)
		}
	}
}

// Regrids reports whether the parts of a grid are other series than those of the histogram before.
func (c *Cut) Regrids(h, before *Histogram) bool {
	return c.Grid && min(h.Schema, gridSchema) != min(before.Schema, gridSchema)
}

// gridBound returns the bound that a part of a grid counts up to; false for any other part.
func gridBound(text string) (float64, bool) {
	kind, rest, _ := strings.Cut(text, "/")
	_, bound, _ := strings.Cut(rest, "/")
	v, err := strconv.ParseFloat(bound, 64)
	return v, err == nil && kind == partGrid && !math.IsNaN(v)
}
