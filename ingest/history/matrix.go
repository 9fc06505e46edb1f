package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"

	"evenkeel.dev/bus"
)

// Bounds of one answer's parts, which real ones never reach.
const (
	maxText  = 64 << 10
	maxDepth = 64
)

// A scanner reads JSON from a stream, a hundred bytes of it at a time: answers have hundreds of megabytes, nearly all of it numbers.
type scanner struct {
	r    *bufio.Reader
	text []byte // scratch
}

// readMatrix reads the answer of a query whose result is a matrix.
func (s *slice) readMatrix(r io.Reader) error {
	sc := &scanner{r: bufio.NewReaderSize(r, 64<<10)}
	status, kind, message, got := "", "", "", false
	err := sc.object(func(key string) (err error) {
		switch key {
		case "status":
			status, err = sc.str()
		case "error":
			message, err = sc.str()
		case "data":
			return sc.object(func(key string) (err error) {
				switch key {
				case "resultType":
					kind, err = sc.str()
					return err
				case "result":
					got = true
					return sc.array(func() error { return s.readRow(sc) })
				}
				return sc.skip(0)
			})
		default:
			err = sc.skip(0)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case status != "success":
		return fmt.Errorf("%w: status %q %s", errAnswer, cut(status), cut(message))
	case kind != "matrix" || !got:
		return finalError{fmt.Errorf("%w: its result is %q and not a matrix", errAnswer, cut(kind))}
	}
	return nil
}

// readRow reads one series.
func (s *slice) readRow(sc *scanner) error {
	var ls bus.Labels
	var p points
	histogram := false
	err := sc.object(func(key string) error {
		switch key {
		case "metric":
			return sc.object(func(name string) error {
				v, err := sc.str()
				if err == nil && len(ls) == bus.MaxLabels {
					err = fmt.Errorf("%w: a series has more than %d labels", errAnswer, bus.MaxLabels)
				}
				ls = append(ls, bus.Label{Name: name, Value: v})
				return err
			})
		case "values":
			return sc.array(func() error {
				t, v, err := sc.point()
				if err == nil && t >= int64(s.from) && t < int64(s.to) {
					p.add(t, v)
				}
				if err == nil && 16*len(p.times) > s.limit {
					err = fmt.Errorf("%w: over %d bytes", errTooLarge, s.limit)
				}
				return err
			})
		case "histograms":
			histogram = true
		}
		return sc.skip(0)
	})
	if err != nil {
		return err
	}
	if histogram {
		s.histograms++
	}
	c, err := s.columnOf(0, ls.Sort(), 0)
	if err != nil {
		return err
	}
	if len(c.chunks) > 0 {
		return fmt.Errorf("%w: series %s stands twice", errAnswer, cut(c.series.Labels.String()))
	}
	return s.addPlain(c, p.times, p.values)
}

// point reads [1234.567,"1"].
func (sc *scanner) point() (t int64, v float64, err error) {
	if err := sc.expect('['); err != nil {
		return 0, 0, err
	}
	number, err := sc.number()
	if err != nil {
		return 0, 0, err
	}
	if t, err = milliseconds(number); err != nil {
		return 0, 0, err
	}
	if err := sc.expect(','); err != nil {
		return 0, 0, err
	}
	text, err := sc.raw()
	if err != nil {
		return 0, 0, err
	}
	if v, err = value(text); err != nil {
		return 0, 0, err
	}
	return t, v, sc.expect(']')
}

// milliseconds reads seconds with a fraction.
func milliseconds(b []byte) (int64, error) {
	n, digits, point := int64(0), 0, -1
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9' && digits < 17:
			n, digits = 10*n+int64(c-'0'), digits+1
		case c == '.' && point < 0:
			point = i
		default:
			digits = 99
		}
	}
	fraction := 0
	if point >= 0 {
		fraction = len(b) - point - 1
	}
	if digits > 0 && digits < 16 && fraction <= 3 {
		for ; fraction < 3; fraction++ {
			n *= 10
		}
		return n, nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.Abs(f) > 1e14 {
		return 0, fmt.Errorf("%w: %q is no time", errAnswer, cut(string(b)))
	}
	return int64(math.Round(f * 1000)), nil
}

// value reads a number as Prometheus writes it.
func value(b []byte) (float64, error) {
	n := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' || len(b) > 15 {
			n = -1
			break
		}
		n = 10*n + int64(c-'0')
	}
	if n >= 0 && len(b) > 0 {
		return float64(n), nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, fmt.Errorf("%w: %q is no value", errAnswer, cut(string(b)))
	}
	return f, nil
}

// peek returns the next sign that is no blank, without taking it.
func (sc *scanner) peek() (byte, error) {
	for {
		c, err := sc.r.ReadByte()
		if err != nil {
			return 0, fmt.Errorf("the answer breaks off: %w", noEOF(err))
		}
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c, sc.r.UnreadByte()
		}
	}
}

func (sc *scanner) expect(want byte) error {
	c, err := sc.peek()
	if err != nil {
		return err
	}
	if c != want {
		return fmt.Errorf("%w: %q where %q was expected", errAnswer, c, want)
	}
	_, err = sc.r.ReadByte()
	return err
}

// list reads what stands between two brackets, separated by commas.
func (sc *scanner) list(open, end byte, item func() error) error {
	if err := sc.expect(open); err != nil {
		return err
	}
	c, err := sc.peek()
	if err != nil {
		return err
	}
	if c == end {
		return sc.expect(end)
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if c, err = sc.peek(); err != nil {
			return err
		}
		if c == end {
			return sc.expect(end)
		}
		if err := sc.expect(','); err != nil {
			return err
		}
	}
}

func (sc *scanner) array(item func() error) error { return sc.list('[', ']', item) }

func (sc *scanner) object(field func(key string) error) error {
	return sc.list('{', '}', func() error {
		key, err := sc.str()
		if err != nil {
			return err
		}
		if err := sc.expect(':'); err != nil {
			return err
		}
		return field(key)
	})
}

func (sc *scanner) str() (string, error) {
	b, err := sc.raw()
	return string(b), err
}

// raw reads a string; the result is valid until the next call.
func (sc *scanner) raw() ([]byte, error) {
	if err := sc.expect('"'); err != nil {
		return nil, err
	}
	sc.text = append(sc.text[:0], '"')
	escaped, plain := false, true
	for len(sc.text) < maxText {
		c, err := sc.r.ReadByte()
		if err != nil {
			return nil, fmt.Errorf("the answer breaks off: %w", noEOF(err))
		}
		sc.text = append(sc.text, c)
		switch {
		case c < ' ':
			return nil, fmt.Errorf("%w: a string holds a control sign", errAnswer)
		case c == '"' && !escaped && plain:
			return sc.text[1 : len(sc.text)-1], nil
		case c == '"' && !escaped:
			var s string
			if err := json.Unmarshal(sc.text, &s); err != nil {
				return nil, fmt.Errorf("%w: %w", errAnswer, err)
			}
			return []byte(s), nil
		}
		escaped = c == '\\' && !escaped
		plain = plain && c != '\\' && c < 0x80
	}
	return nil, fmt.Errorf("%w: a string has over %d bytes", errAnswer, maxText)
}

// number reads the signs of a number; the result is valid until the next call.
func (sc *scanner) number() ([]byte, error) {
	if _, err := sc.peek(); err != nil {
		return nil, err
	}
	sc.text = sc.text[:0]
	for len(sc.text) < 64 {
		c, err := sc.r.ReadByte()
		if err != nil {
			return nil, fmt.Errorf("the answer breaks off: %w", noEOF(err))
		}
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return sc.text, sc.r.UnreadByte()
		}
		sc.text = append(sc.text, c)
	}
	return nil, fmt.Errorf("%w: a number is too long", errAnswer)
}

// skip passes over a value of any kind.
func (sc *scanner) skip(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: it is nested over %d deep", errAnswer, maxDepth)
	}
	c, err := sc.peek()
	if err != nil {
		return err
	}
	switch {
	case c == '{':
		return sc.object(func(string) error { return sc.skip(depth + 1) })
	case c == '[':
		return sc.array(func() error { return sc.skip(depth + 1) })
	case c == '"':
		_, err := sc.raw()
		return err
	case c == '-' || c >= '0' && c <= '9':
		_, err := sc.number()
		return err
	}
	for _, word := range []string{"true", "false", "null"} {
		if word[0] == c {
			for i := range len(word) {
				if got, err := sc.r.ReadByte(); err != nil || got != word[i] {
					return fmt.Errorf("%w: a word is not known", errAnswer)
				}
			}
			return nil
		}
	}
	return fmt.Errorf("%w: %q begins no value", errAnswer, c)
}
