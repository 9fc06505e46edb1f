package openslo

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

var durationForm = regexp.MustCompile(`^([0-9]{1,6})([mhdwMQY])$`)

// duration reads OpenSLO's duration-shorthand: a whole number above zero and one of m, h, d, w. Months, quarters and years have no
// fixed length, and everything here is rolling: they are taken as 30, 90 and 365 days, with a warning.
func (r *run) duration(d *mesh.Document, path, text, example string) (slo.Duration, bool) {
	n := node(d, path)
	switch {
	case n == nil:
		r.absent(d, path, path+" is missing", example)
		return 0, false
	case n.Kind != mesh.NodeString:
		return 0, false // told by Decode
	}
	m := durationForm.FindStringSubmatch(text)
	hint := "write a whole number and one of m, h, d, w; " + example
	switch {
	case m == nil:
		if squeezed := strings.ReplaceAll(text, " ", ""); durationForm.MatchString(squeezed) {
			hint = "write " + squeezed
		}
		r.add(d.Problem(path, fmt.Sprintf("%q is not a duration", text), hint))
		return 0, false
	case strings.Trim(m[1], "0") == "":
		r.add(d.Problem(path, fmt.Sprintf("the duration %q is zero", text), example))
		return 0, false
	case strings.Contains("MQY", m[2]):
		n, _ := strconv.Atoi(m[1]) // six digits at most
		n *= map[string]int{"M": 30, "Q": 90, "Y": 365}[m[2]]
		r.warn(d.Problem(path, fmt.Sprintf("%q has no fixed length, which a rolling window needs; it is taken as %dd", text, n), "write days"))
		text = fmt.Sprintf("%dd", n)
	}
	v, err := slo.ParseDuration(text)
	if err != nil {
		r.add(d.Problem(path, err.Error(), example))
		return 0, false
	}
	return v, true
}
