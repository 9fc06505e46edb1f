package stories

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
)

// A value is one sample of a line, or none.
type value struct {
	v       float64
	missing bool
}

const staleMarker = 0x7ff0000000000002

var (
	stepForm   = regexp.MustCompile(`^(-?[0-9.e]+)([+-][0-9.e]+)?(?:/(\d+))?(?:x(\d+))?$`)
	repeatForm = regexp.MustCompile(`^(_|stale)(?:x(\d+))?$`)
)

// parseValues reads promqltest's notation: "1 2 _ 4", "0+5x3" (0 5 10 15), "7x2" (7 7 7), "_x3" (three missing), "stale";
// and "0+5/3x5" (0 0 0 5 5 5): the step comes with every third.
func parseValues(text string) ([]value, error) {
	var out []value
	for _, f := range strings.Fields(text) {
		if m := repeatForm.FindStringSubmatch(f); m != nil {
			n := 1
			if m[2] != "" {
				n, _ = strconv.Atoi(m[2])
			}
			for range n {
				out = append(out, value{v: math.Float64frombits(staleMarker), missing: m[1] == "_"})
			}
			continue
		}
		m := stepForm.FindStringSubmatch(f)
		if m == nil {
			return nil, fmt.Errorf("%q is no value; write for example 0+1x5, _x3, 7 or stale", f)
		}
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return nil, err
		}
		step, every, n := 0.0, 1, 0
		if m[2] != "" {
			if step, err = strconv.ParseFloat(m[2], 64); err != nil {
				return nil, err
			}
		}
		if m[3] != "" {
			if every, _ = strconv.Atoi(m[3]); every == 0 {
				return nil, fmt.Errorf("%q never steps", f)
			}
		}
		if m[4] != "" {
			n, _ = strconv.Atoi(m[4])
		}
		for i := range n + 1 {
			out = append(out, value{v: v + float64(i/every)*step})
		}
	}
	return out, nil
}

var labelForm = regexp.MustCompile(`^\s*([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*$`)

// parseSelector reads name{label="value", …} as matchers.
func parseSelector(text string) ([]bus.Matcher, error) {
	name, rest, braces := strings.Cut(strings.TrimSpace(text), "{")
	ms := []bus.Matcher{{Name: "__name__", Type: bus.MatchEqual, Value: name}}
	if !braces || rest == "}" {
		return ms, nil
	}
	for _, part := range strings.Split(strings.TrimSuffix(rest, "}"), ",") {
		m := labelForm.FindStringSubmatch(part)
		if m == nil {
			return nil, fmt.Errorf("%q is no label matcher", part)
		}
		ms = append(ms, bus.Matcher{Name: m[1], Type: bus.MatchType(m[2]), Value: m[3]})
	}
	return ms, nil
}

func labelsOf(text string) (bus.Labels, error) {
	ms, err := parseSelector(text)
	if err != nil {
		return nil, err
	}
	var ls bus.Labels
	for _, m := range ms {
		ls = append(ls, bus.Label{Name: m.Name, Value: m.Value})
	}
	return ls.Sort(), nil
}
