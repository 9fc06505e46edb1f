package slo

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of a recurrence rule. A rule is followed for at most maxPeriods of its periods at a time, 54 years of days: one that finds
// nothing in so many has ended.
const (
	maxRuleText     = 500
	maxRuleInterval = 1000
	maxCount        = 1000
	maxPeriods      = 20_000
	maxOccurrence   = 31 * secondsOfDay
	untilForm       = "20060102T150405Z"
	epochWeekday    = 3 // of 1970-01-01, Monday being 0
	lastDayOfRules  = lastSecond / secondsOfDay
	monthsOfAYear   = 12
	daysOfAWeek     = 7
	daysOfLongMonth = 31
)

// Frequencies of a rule.
const (
	freqDaily   = "DAILY"
	freqWeekly  = "WEEKLY"
	freqMonthly = "MONTHLY"
	freqYearly  = "YEARLY"
)

// A rule is a recurrence rule of RFC 5545 (section 3.3.10), of which it knows FREQ of days, weeks, months and years, INTERVAL, COUNT,
// UNTIL, BYDAY, BYMONTHDAY, BYMONTH and WKST.
type rule struct {
	freq      string
	interval  int64
	count     int
	until     int64 // Unix second after which no occurrence begins; 0: none
	days      []ruleDay
	monthDays []int
	months    []int
	weekStart int64 // Monday is 0
}

// A ruleDay is a weekday, or the n-th one of a month or year, from its end where n is negative.
type ruleDay struct {
	n   int64
	day int64 // Monday is 0
}

// A RuleError says what is wrong with a recurrence rule.
type RuleError struct {
	Column  int // in the rule, from 1
	Message string
	Advice  string // what would be right, or ""
}

// Error returns the message and the advice.
func (e *RuleError) Error() string {
	if e.Advice == "" {
		return e.Message
	}
	return e.Message + " (" + e.Advice + ")"
}

// unsupported names the parts of RFC 5545 that are not known here, with what does the same.
var unsupported = map[string]string{
	"BYSECOND": "the clock time is that of start", "BYMINUTE": "the clock time is that of start",
	"BYHOUR":     "the clock time is that of start; write one Exclusion for each hour",
	"BYYEARDAY":  "write BYMONTH and BYMONTHDAY",
	"BYWEEKNO":   "write BYMONTH and BYDAY",
	"BYSETPOS":   "write BYDAY with a number, for example BYDAY=-1FR for the last Friday",
	"SKIP":       "a day that a month does not have is left out",
	"RSCALE":     "the calendar is the Gregorian one",
	"DTSTART":    "write start",
	"EXDATE":     "occurrences cannot be left out",
	"RRULE:FREQ": "write the rule without RRULE:",
}

var weekdays = []string{"MO", "TU", "WE", "TH", "FR", "SA", "SU"}

// parseRule reads a rule. Its error is a [*RuleError].
func parseRule(text string) (*rule, error) {
	if len(text) > maxRuleText {
		return nil, &RuleError{1, fmt.Sprintf("the rule has %d characters; at most %d are allowed", len(text), maxRuleText), ""}
	}
	r := &rule{interval: 1}
	seen := map[string]bool{}
	column := 1
	for _, part := range strings.Split(text, ";") {
		name, value, ok := strings.Cut(part, "=")
		name = strings.ToUpper(name)
		at := column
		column += len(part) + 1
		switch {
		case !ok:
			return nil, &RuleError{at, fmt.Sprintf("%q is no NAME=VALUE", part), "write for example FREQ=WEEKLY;BYDAY=SU"}
		case seen[name]:
			return nil, &RuleError{at, name + " stands twice", ""}
		}
		seen[name] = true
		if err := r.part(name, strings.ToUpper(value)); err != nil {
			err.Column = at
			return nil, err
		}
	}
	if err := r.check(); err != nil {
		err.Column = 1
		return nil, err
	}
	return r, nil
}

func (r *rule) part(name, value string) *RuleError {
	var err *RuleError
	switch name {
	case "FREQ":
		r.freq = value
	case "INTERVAL":
		r.interval, err = ruleNumber(name, value, 1, maxRuleInterval)
	case "COUNT":
		var n int64
		n, err = ruleNumber(name, value, 1, maxCount)
		r.count = int(n)
	case "UNTIL":
		t, bad := time.Parse(untilForm, value)
		if bad != nil {
			return &RuleError{Message: fmt.Sprintf("UNTIL=%s is no time in UTC", value), Advice: "write for example UNTIL=20261231T235959Z"}
		}
		r.until = t.Unix()
	case "BYDAY":
		r.days, err = ruleDays(value)
	case "BYMONTHDAY":
		r.monthDays, err = ruleNumbers(name, value, -daysOfLongMonth, daysOfLongMonth)
	case "BYMONTH":
		r.months, err = ruleNumbers(name, value, 1, monthsOfAYear)
	case "WKST":
		if r.weekStart = int64(slices.Index(weekdays, value)); r.weekStart < 0 {
			return &RuleError{Message: fmt.Sprintf("WKST=%s is no weekday", value), Advice: "it is MO, TU, WE, TH, FR, SA or SU"}
		}
	default:
		advice, known := unsupported[name]
		if strings.HasPrefix(name, "RRULE:") {
			advice, known = unsupported["RRULE:FREQ"], true
		}
		if !known {
			advice = "known are FREQ, INTERVAL, COUNT, UNTIL, BYDAY, BYMONTHDAY, BYMONTH and WKST"
		}
		return &RuleError{Message: name + " is not supported", Advice: advice}
	}
	return err
}

// check looks at what depends on several parts.
func (r *rule) check() *RuleError {
	ordinal := slices.ContainsFunc(r.days, func(d ruleDay) bool { return d.n != 0 })
	switch {
	case r.freq == "":
		return &RuleError{Message: "FREQ is missing", Advice: "it is DAILY, WEEKLY, MONTHLY or YEARLY"}
	case slices.Contains([]string{"SECONDLY", "MINUTELY", "HOURLY"}, r.freq):
		return &RuleError{Message: "FREQ=" + r.freq + " is not supported", Advice: "what comes back more often than daily should not be counted in the first place"}
	case !slices.Contains([]string{freqDaily, freqWeekly, freqMonthly, freqYearly}, r.freq):
		return &RuleError{Message: fmt.Sprintf("FREQ=%s is not known", r.freq), Advice: "it is DAILY, WEEKLY, MONTHLY or YEARLY"}
	case r.count > 0 && r.until != 0:
		return &RuleError{Message: "COUNT and UNTIL exclude each other", Advice: "keep one of them"}
	case ordinal && (r.freq == freqDaily || r.freq == freqWeekly):
		return &RuleError{Message: "BYDAY with a number needs FREQ=MONTHLY or FREQ=YEARLY", Advice: "for the last Friday of a month write FREQ=MONTHLY;BYDAY=-1FR"}
	case len(r.monthDays) > 0 && r.freq == freqWeekly:
		return &RuleError{Message: "BYMONTHDAY does not go with FREQ=WEEKLY", Advice: "write FREQ=MONTHLY"}
	}
	return nil
}

func ruleNumber(name, value string, low, high int64) (int64, *RuleError) {
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < low || n > high {
		return 0, &RuleError{Message: fmt.Sprintf("%s=%s is no whole number from %d to %d", name, value, low, high)}
	}
	return n, nil
}

// ruleNumbers reads a list of numbers other than zero, each once.
func ruleNumbers(name, value string, low, high int64) ([]int, *RuleError) {
	var out []int
	for _, v := range strings.Split(value, ",") {
		n, err := ruleNumber(name, v, low, high)
		switch {
		case err != nil:
			return nil, err
		case n == 0 || slices.Contains(out, int(n)):
			return nil, &RuleError{Message: fmt.Sprintf("%s has 0 or the same number twice", name)}
		}
		out = append(out, int(n))
	}
	return out, nil
}

func ruleDays(value string) ([]ruleDay, *RuleError) {
	var out []ruleDay
	for _, v := range strings.Split(value, ",") {
		number, name := v[:max(0, len(v)-2)], v[max(0, len(v)-2):]
		d := ruleDay{day: int64(slices.Index(weekdays, name))}
		n, err := strconv.ParseInt(number, 10, 8)
		switch {
		case d.day < 0 || number != "" && (err != nil || n == 0 || n < -53 || n > 53):
			return nil, &RuleError{Message: fmt.Sprintf("BYDAY: %q is no weekday", v), Advice: "write for example SU, 2TU for the second Tuesday or -1FR for the last Friday"}
		case slices.Contains(out, ruleDay{n, d.day}):
			return nil, &RuleError{Message: fmt.Sprintf("BYDAY: %s stands twice", v)}
		}
		d.n = n
		out = append(out, d)
	}
	return out, nil
}

// A series of occurrences: a rule with its beginning. Days are counted from the Unix epoch.
type occurrences struct {
	*rule
	zone   *Zone
	start  int64 // civil time of the first, as if it were UTC
	last   int64 // civil time after which none begins
	length int64 // seconds

	day, clock, year, month, week int64 // of start: its day, the seconds after midnight, the year, the month since the epoch, the week's first day
	dayOfMonth                    int
}

func newOccurrences(r *rule, z *Zone, start, last, length int64) *occurrences {
	o := &occurrences{rule: r, zone: z, start: start, last: last, length: length}
	o.day, o.clock = floorDiv(start, secondsOfDay), mod(start, secondsOfDay)
	t := time.Unix(start, 0).UTC()
	o.year, o.dayOfMonth = int64(t.Year()), t.Day()
	o.month = o.year*monthsOfAYear + int64(t.Month()) - 1
	o.week = o.day - mod(weekdayOf(o.day)-r.weekStart, daysOfAWeek)
	if r.count > 0 {
		o.last = min(o.last, o.final())
	}
	return o
}

func weekdayOf(day int64) int64 { return mod(day+epochWeekday, daysOfAWeek) }

func dayOf(year, month, day int64) int64 {
	return time.Date(int(year), time.Month(month), int(day), 0, 0, 0, 0, time.UTC).Unix() / secondsOfDay
}

// final returns the civil time of the occurrence with the number COUNT.
func (o *occurrences) final() int64 {
	left, last := o.count, o.start
	o.walk(0, func(civil int64) bool {
		last = civil
		left--
		return left > 0
	})
	return last
}

// walk calls yield with the civil times from those of a period on, ascending, until it returns false or nothing more is to be found.
func (o *occurrences) walk(period int64, yield func(civil int64) bool) {
	var days [366]int64
	for p := period; p < period+maxPeriods; p++ {
		first, found := o.period(p, days[:0])
		if first > lastDayOfRules || first*secondsOfDay > o.last {
			return
		}
		for _, d := range found {
			switch civil := d*secondsOfDay + o.clock; {
			case civil > o.last:
				return
			case civil >= o.start && !yield(civil):
				return
			}
		}
	}
}

// period returns the first day of a period, counted from that of start, and the days of it that the rule takes.
func (o *occurrences) period(p int64, days []int64) (first int64, found []int64) {
	switch o.freq {
	case freqDaily:
		first = o.day + p*o.interval
		if o.takes(first, false) {
			days = append(days, first)
		}
	case freqWeekly:
		first = o.week + p*o.interval*daysOfAWeek
		for d := first; d < first+daysOfAWeek; d++ {
			if o.takes(d, len(o.days) == 0 && weekdayOf(d) != weekdayOf(o.day)) {
				days = append(days, d)
			}
		}
	case freqMonthly:
		m := o.month + p*o.interval
		year, month := floorDiv(m, monthsOfAYear), mod(m, monthsOfAYear)+1
		first = dayOf(year, month, 1)
		for d := first; d < dayOf(year, month+1, 1); d++ {
			if o.takes(d, len(o.days)+len(o.monthDays) == 0 && int(d-first)+1 != o.dayOfMonth) {
				days = append(days, d)
			}
		}
	default:
		year := o.year + p*o.interval
		first = dayOf(year, 1, 1)
		own := len(o.days)+len(o.monthDays) == 0
		for d := first; d < dayOf(year+1, 1, 1); d++ {
			if o.takes(d, own && !o.sameDay(d)) {
				days = append(days, d)
			}
		}
	}
	return first, days
}

// sameDay reports whether a day is that of start in its year, or in each of the rule's months.
func (o *occurrences) sameDay(day int64) bool {
	t := time.Unix(day*secondsOfDay, 0).UTC()
	return t.Day() == o.dayOfMonth && (len(o.months) > 0 || int64(t.Month())-1 == mod(o.month, monthsOfAYear))
}

// takes reports whether the rule's BY parts take a day, unless it is another one than that of start where it should be the same.
func (o *occurrences) takes(day int64, other bool) bool {
	if other {
		return false
	}
	if len(o.days)+len(o.monthDays)+len(o.months) == 0 {
		return true
	}
	t := time.Unix(day*secondsOfDay, 0).UTC()
	year, month := int64(t.Year()), int64(t.Month())
	if len(o.months) > 0 && !slices.Contains(o.months, int(month)) {
		return false
	}
	first, next := dayOf(year, month, 1), dayOf(year, month+1, 1)
	if len(o.monthDays) > 0 && !slices.Contains(o.monthDays, t.Day()) && !slices.Contains(o.monthDays, int(day-next)) {
		return false
	}
	if o.freq == freqYearly && len(o.months) == 0 {
		first, next = dayOf(year, 1, 1), dayOf(year+1, 1, 1)
	}
	return len(o.days) == 0 || slices.ContainsFunc(o.days, func(d ruleDay) bool {
		switch {
		case d.day != weekdayOf(day):
			return false
		case d.n > 0:
			return (day-first)/daysOfAWeek+1 == d.n
		case d.n < 0:
			return -((next-1-day)/daysOfAWeek + 1) == d.n
		}
		return true
	})
}

// around returns the occurrence that holds a second, or the next one: its first second and the first one behind it. Of several that
// hold it, it is the one that began first. It looks at no more than maxPeriods periods.
func (o *occurrences) around(second int64) (from, until int64, ok bool) {
	// Days of a zone differ from those of UTC, and clocks may be turned: two days more are enough.
	civil := second - o.length - 2*secondsOfDay
	day := floorDiv(civil, secondsOfDay)
	period := int64(0)
	switch t := time.Unix(civil, 0).UTC(); o.freq {
	case freqDaily:
		period = floorDiv(day-o.day, o.interval)
	case freqWeekly:
		period = floorDiv(day-o.week, o.interval*daysOfAWeek)
	case freqMonthly:
		period = floorDiv(int64(t.Year())*monthsOfAYear+int64(t.Month())-1-o.month, o.interval)
	default:
		period = floorDiv(int64(t.Year())-o.year, o.interval)
	}
	o.walk(max(0, period), func(civil int64) bool {
		at := o.zone.Unix(civil)
		if o.until != 0 && at > o.until {
			return false
		}
		if at+o.length <= second {
			return true
		}
		from, until, ok = at, at+o.length, true
		return false
	})
	if !ok {
		return math.MaxInt64, math.MaxInt64, false
	}
	return from, until, true
}
