package slo

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
)

// A Decimal is an exact decimal number, kept as it was written ("0.999", "99.95"). Its zero value is "0".
type Decimal struct{ text string }

var decimalForm = regexp.MustCompile(`^[+-]?(\d{1,30})(\.\d{1,30})?([eE][+-]?\d{1,2})?$`)

// ParseDecimal reads a decimal number with at most 30 digits on either side of the point.
func ParseDecimal(s string) (Decimal, error) {
	if !decimalForm.MatchString(s) {
		return Decimal{}, fmt.Errorf("%q is not a decimal number", s)
	}
	return Decimal{text: s}, nil
}

// MustDecimal is ParseDecimal for constants; it panics on a mistake.
func MustDecimal(s string) Decimal {
	d, err := ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return d
}

// Rat returns the exact value.
func (d Decimal) Rat() *big.Rat {
	if d.text == "" {
		return new(big.Rat)
	}
	r, ok := new(big.Rat).SetString(d.text)
	if !ok {
		return new(big.Rat)
	}
	return r
}

// Float returns the nearest float64.
func (d Decimal) Float() float64 {
	f, _ := d.Rat().Float64()
	return f
}

// Hundredth returns the exact hundredth, what a percentage is as a share; an error where it has too many digits.
func (d Decimal) Hundredth() (Decimal, error) {
	q := new(big.Rat).Quo(d.Rat(), big.NewRat(100, 1))
	digits, _ := q.FloatPrec()
	out, err := ParseDecimal(q.FloatString(digits))
	if err != nil {
		return Decimal{}, fmt.Errorf("%s has too many digits", d)
	}
	return out, nil
}

// String returns the number as it was written.
func (d Decimal) String() string {
	if d.text == "" {
		return "0"
	}
	return d.text
}

// MarshalText writes the number as a string, so that no digit is lost.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the number.
func (d *Decimal) UnmarshalText(b []byte) error {
	v, err := ParseDecimal(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// A Duration is a span in milliseconds, written as in Prometheus and OpenSLO: "5m", "1h30m", "30d", "4w".
type Duration bus.Time

var durationUnits = []struct {
	unit string
	size bus.Time
}{{"w", 7 * bus.Day}, {"d", bus.Day}, {"h", bus.Hour}, {"m", bus.Minute}, {"s", bus.Second}, {"ms", bus.Millisecond}}

var durationForm = regexp.MustCompile(`^(\d{1,9}(?:ms|w|d|h|m|s))+$`)
var durationPart = regexp.MustCompile(`(\d+)(ms|w|d|h|m|s)`)

// ParseDuration reads a duration above zero of the units w, d, h, m, s and ms. Months, quarters and years have no fixed length and are refused.
func ParseDuration(s string) (Duration, error) {
	if !durationForm.MatchString(s) {
		return 0, fmt.Errorf("%q is not a duration; write for example 5m, 1h30m or 30d", s)
	}
	var total bus.Time
	for _, p := range durationPart.FindAllStringSubmatch(s, -1) {
		n, err := strconv.ParseInt(p[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration: %w", s, err)
		}
		for _, u := range durationUnits {
			if u.unit == p[2] {
				total += bus.Time(n) * u.size
			}
		}
	}
	if total <= 0 || total > 10*365*bus.Day {
		return 0, fmt.Errorf("duration %q is not between 1ms and ten years", s)
	}
	return Duration(total), nil
}

// Time returns the duration in the unit of the log.
func (d Duration) Time() bus.Time { return bus.Time(d) }

// String returns the duration in the largest units that divide it: "30d", "1h", "90s" as "1m30s".
func (d Duration) String() string {
	if d <= 0 {
		return "0s"
	}
	var b strings.Builder
	rest := bus.Time(d)
	for _, u := range durationUnits {
		if u.unit == "w" {
			continue // peers and people say 30d and 28d
		}
		if n := rest / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.unit)
			rest -= n * u.size
		}
	}
	return b.String()
}

// MarshalText writes the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the duration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}
