package native

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Codes are what a source tells of how a request ended.
type codes struct {
	usual     []string // regular expressions of the errors by default
	tanzu     []string // of what Tanzu Service Mesh counts as errors
	usualText string
	known     []string // names that may be listed, for suggestions
	example   string
	// parse turns what is listed into a regular expression.
	parse func(text string) (string, bool)
}

// An errorSet is what counts as an error: what one of the regular expressions of codes matches and, beyond codes, what the source
// marks as failed by other means. A list in a definition is exact and takes nothing beyond.
type errorSet struct {
	codes  []string
	beyond bool
}

func (e errorSet) String() string { return strings.Join(e.codes, "|") }

var httpCode = regexp.MustCompile(`^[1-5](\d\d|xx)$`)

// httpCodes are status codes, and classes of them as "5xx". A class matches a metric that has classes only, too.
func httpCodes() codes {
	return codes{
		usual: []string{"5..", "429"}, tanzu: []string{"4..", "5.."}, usualText: "5xx and 429",
		known: []string{"5xx", "4xx"}, example: "write a status as 429, or a class as 5xx",
		parse: func(text string) (string, bool) {
			text = strings.ToLower(text)
			return strings.ReplaceAll(text, "xx", ".."), httpCode.MatchString(text)
		},
	}
}

// A grpcCode has the name that Go's libraries give it, the number of the protocol, and the class of the HTTP status that
// google/rpc/code.proto maps it to.
type grpcCode struct {
	name   string
	number int
	status int
}

func grpcTable() []grpcCode {
	return []grpcCode{
		{"OK", 0, 200}, {"Canceled", 1, 499}, {"Unknown", 2, 500}, {"InvalidArgument", 3, 400}, {"DeadlineExceeded", 4, 504},
		{"NotFound", 5, 404}, {"AlreadyExists", 6, 409}, {"PermissionDenied", 7, 403}, {"ResourceExhausted", 8, 429},
		{"FailedPrecondition", 9, 400}, {"Aborted", 10, 409}, {"OutOfRange", 11, 400}, {"Unimplemented", 12, 501},
		{"Internal", 13, 500}, {"Unavailable", 14, 503}, {"DataLoss", 15, 500}, {"Unauthenticated", 16, 401},
	}
}

// pattern matches the code as libraries write it: DeadlineExceeded (Go), DEADLINE_EXCEEDED (Java, Python, OpenTelemetry).
func (c grpcCode) pattern() string {
	var b strings.Builder
	b.WriteString("(?i:")
	for i, l := range c.name {
		if i > 0 && l >= 'A' && l <= 'Z' && c.name != "OK" {
			b.WriteString("_?")
		}
		b.WriteRune(l)
	}
	if c.name == "Canceled" {
		return "(?i:Cancell?ed)" // both spellings are used
	}
	return b.String() + ")"
}

// grpcCodes are those of a label with names, or with numbers.
func grpcCodes(numbers bool) codes {
	write := grpcCode.pattern
	if numbers {
		write = func(c grpcCode) string { return strconv.Itoa(c.number) }
	}
	out := codes{
		usualText: "Unknown, DeadlineExceeded, Unimplemented, Internal, Unavailable, DataLoss and ResourceExhausted",
		example:   "write the name of a gRPC code, for example Unavailable",
		parse: func(text string) (string, bool) {
			i := slices.IndexFunc(grpcTable(), func(c grpcCode) bool { return c.name == text })
			if i < 0 {
				return "", false
			}
			return write(grpcTable()[i]), true
		},
	}
	for _, c := range grpcTable() {
		out.known = append(out.known, c.name)
		if c.status >= 500 || c.status == 429 {
			out.usual = append(out.usual, write(c))
		}
		if c.status >= 400 {
			out.tanzu = append(out.tanzu, write(c))
		}
	}
	return out
}
