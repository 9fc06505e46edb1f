// Package zone turns the name of a time zone into its rules written out, as a [slo.Zone]: what its clocks are ahead of UTC, and from
// when on. A stage asks nobody for the time, so the rules travel inside the definition that needs them.
//
// The same name and span give the same rules on every machine. Go's own time.LoadLocation cannot promise that: it asks the
// environment, the system's files and the Go installation first, and the data of package time/tzdata only when all those are missing.
// So the data lie here, the zoneinfo.zip of the Go distribution (compiled from IANA's, which are in the public domain), and nothing
// else is read. [Version] says which they are. To renew them copy lib/time/zoneinfo.zip of a newer Go (go env GOROOT) and set it.
//
// Rules of the future are today's law. Where a state changes it, newer data give other rules, and a definition that is applied again
// takes them over.
package zone

import (
	"archive/zip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// Version is the release of IANA's data.
const Version = "2025c"

// SpanMax bounds the time whose rules are written out, and so the size of a zone: no zone changes its clocks more than a few times
// a year.
const SpanMax = 100 * 366 * 24 * time.Hour

// First and last year of what [Of] writes out. They are fixed, so that a definition compiles to the same bytes whenever that happens.
const (
	FirstYear = 2020
	LastYear  = 2049
)

//go:embed zoneinfo.zip
var archive string

// An Error says why there are no rules for a name.
type Error struct {
	Message string
	Advice  string // what would be right, or ""
}

// Error returns the message and the advice.
func (e *Error) Error() string {
	if e.Advice == "" {
		return e.Message
	}
	return e.Message + " (" + e.Advice + ")"
}

// Reason returns the message alone.
func (e *Error) Reason() string { return e.Message }

// Hint returns what would be right, or "".
func (e *Error) Hint() string { return e.Advice }

// Of returns the rules of a zone for the years that definitions need, [FirstYear] to [LastYear]: what is measured lies in them, and
// so does what is replayed. Before and after them the clocks stand as at their ends.
func Of(name string) (slo.Zone, error) {
	return Load(name, time.Date(FirstYear, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(LastYear+1, 1, 1, 0, 0, 0, 0, time.UTC))
}

// Load returns the rules of a zone of IANA's data, for example "Europe/Berlin", from one moment to before another. The first offset
// holds at from. An unknown name is an *Error with the nearest known ones.
func Load(name string, from, to time.Time) (slo.Zone, error) {
	switch span := to.Sub(from); {
	case span <= 0:
		return slo.Zone{}, fmt.Errorf("rules of %s: the span from %s to %s is empty", name, from.Format(time.RFC3339), to.Format(time.RFC3339))
	case span > SpanMax:
		return slo.Zone{}, fmt.Errorf("rules of %s: the span from %s to %s is over 100 years", name, from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	loc, err := location(name)
	if err != nil {
		return slo.Zone{}, err
	}
	z := slo.Zone{Name: name}
	for at := from.In(loc); at.Before(to); {
		_, east := at.Zone()
		// Clocks may keep their time where a law changes only their zone's name.
		if n := len(z.Offsets); n == 0 || z.Offsets[n-1].East != int64(east) {
			z.Offsets = append(z.Offsets, slo.Offset{From: at.Unix(), East: int64(east)})
		}
		switch _, end := at.ZoneBounds(); {
		case end.IsZero():
			return z, nil // it holds for ever
		case end.After(at):
			at = end
		default:
			// Of rules that go on for ever, Go takes the 365th day of a leap year for its end, and then stands still there.
			at = at.Add(24 * time.Hour)
		}
	}
	return z, nil
}

// location reads a zone from the archive. Names are exact, as IANA writes them.
func location(name string) (*time.Location, error) {
	files, err := index()
	if err != nil {
		return nil, err
	}
	f, ok := files[name]
	if !ok {
		return nil, unknown(name, files)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("time zone %s: %w", name, err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("time zone %s: %w", name, err)
	}
	return time.LoadLocationFromTZData(name, b)
}

// index lists the archive once.
var index = sync.OnceValues(func() (map[string]*zip.File, error) {
	z, err := zip.NewReader(strings.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("time zones: %w", err)
	}
	files := map[string]*zip.File{}
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, "/") && f.Name != "Factory" { // that one means "not set"
			files[f.Name] = f
		}
	}
	return files, nil
})

// nameMax bounds what is repeated of an unknown name, and nearMax how many known ones are told.
const (
	nameMax = 64
	nearMax = 3
)

// unknown names the zones that a name may have meant.
func unknown(name string, files map[string]*zip.File) error {
	shown := name
	if len(shown) > nameMax {
		shown = strings.ToValidUTF8(shown[:nameMax-3], "") + "..."
	}
	e := &Error{Message: fmt.Sprintf("%q is no time zone of IANA's data %s", shown, Version), Advice: "write for example Europe/Berlin, America/New_York or UTC"}
	if name == "" || strings.EqualFold(name, "local") {
		e.Advice += "; what a machine's own zone is depends on the machine"
		return e
	}
	var near []string
	for _, n := range nearest(name, files) {
		near = append(near, fmt.Sprintf("%q", n))
	}
	if len(near) > 0 {
		e.Advice = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return e
}

// nearest returns the zone that is spelled most alike, those of the same city, and of the city that is spelled most alike.
func nearest(name string, files map[string]*zip.File) []string {
	name = strings.ReplaceAll(name, " ", "_")
	var names, cities []string
	of := map[string][]string{}
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		c := city(n)
		if of[c] == nil {
			cities = append(cities, c)
		}
		of[c] = append(of[c], n)
	}
	var out []string
	add := func(ns ...string) {
		for _, n := range ns {
			if n != "" && !slices.Contains(out, n) && len(out) < nearMax {
				out = append(out, n)
			}
		}
	}
	add(of[city(name)]...)
	add(mesh.Nearest(name, names))
	if len(of[city(name)]) == 0 {
		add(of[mesh.Nearest(city(name), cities)]...)
	}
	return out
}

// city is the last part of a zone's name, in lower case.
func city(name string) string {
	return strings.ToLower(name[strings.LastIndexByte(name, '/')+1:])
}
