package console

import (
	"fmt"
	"net/http"
	"strings"
)

// diffDefinitions answers what applying the body would change, with a unified diff of each object's source text.
func (s *Server) diffDefinitions(w http.ResponseWriter, r *http.Request) {
	q, err := applyRequest(w, r)
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	q.DryRun, q.Diff = true, true
	s.applied(w, r, q)
}

const diffContext = 3

// maxDiffCells bounds the table of the comparison: two texts of 4,000 differing lines. Above it the whole is shown as replaced.
const maxDiffCells = 16 << 20

// Diff returns the unified difference of two texts, "" where they are equal. Names stand in its head.
func Diff(nameA, a, nameB, b string) string {
	if a == b {
		return ""
	}
	edits := diffLines(splitLines(a), splitLines(b))
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", nameA, nameB)
	for start := 0; start < len(edits); {
		first, last := nextHunk(edits, start)
		if first < 0 {
			break
		}
		writeHunk(&out, edits, first, last)
		start = last
	}
	return out.String()
}

type edit struct {
	op   byte // ' ', '-', '+'
	text string
}

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// diffLines finds a longest common subsequence after cutting equal ends.
func diffLines(a, b []string) []edit {
	var head, tail []edit
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head, a, b = append(head, edit{' ', a[0]}), a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail, a, b = append(tail, edit{' ', a[len(a)-1]}), a[:len(a)-1], b[:len(b)-1]
	}
	out := append(head, diffMiddle(a, b)...)
	for i := len(tail) - 1; i >= 0; i-- {
		out = append(out, tail[i])
	}
	return out
}

func diffMiddle(a, b []string) []edit {
	var out []edit
	if (len(a)+1)*(len(b)+1) > maxDiffCells {
		for _, l := range a {
			out = append(out, edit{'-', l})
		}
		for _, l := range b {
			out = append(out, edit{'+', l})
		}
		return out
	}
	w := len(b) + 1
	common := make([]int32, (len(a)+1)*w)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i*w+j] = common[(i+1)*w+j+1] + 1
			} else {
				common[i*w+j] = max(common[(i+1)*w+j], common[i*w+j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, edit{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[(i+1)*w+j] >= common[i*w+j+1]:
			out = append(out, edit{'-', a[i]})
			i++
		default:
			out = append(out, edit{'+', b[j]})
			j++
		}
	}
	return out
}

// nextHunk returns the range of edits of the next hunk at or after start, with its context; first is -1 when there is none.
func nextHunk(edits []edit, start int) (first, last int) {
	first = -1
	for i := start; i < len(edits); i++ {
		if edits[i].op == ' ' {
			if first >= 0 && i-last >= 2*diffContext {
				break
			}
			continue
		}
		if first < 0 {
			first = max(start, i-diffContext)
		}
		last = i + 1
	}
	return first, min(last+diffContext, len(edits))
}

func writeHunk(out *strings.Builder, edits []edit, first, last int) {
	lineA, lineB, nA, nB := 1, 1, 0, 0
	for i, e := range edits[:last] {
		a, b := 0, 0
		if e.op != '+' {
			a = 1
		}
		if e.op != '-' {
			b = 1
		}
		if i < first {
			lineA, lineB = lineA+a, lineB+b
		} else {
			nA, nB = nA+a, nB+b
		}
	}
	if nA == 0 {
		lineA--
	}
	if nB == 0 {
		lineB--
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", lineA, nA, lineB, nB)
	for _, e := range edits[first:last] {
		fmt.Fprintf(out, "%c%s\n", e.op, e.text)
	}
}
