package otlp

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// A lexer reads JSON text (RFC 8259) without building a tree of it. It is as strict as encoding/json, but refuses what nests deeper
// than maxNesting and strings that are not UTF-8.
type lexer struct {
	b  []byte
	at int
}

var (
	errNesting = fmt.Errorf("nests deeper than %d levels", maxNesting)
	errCut     = errors.New("the text ends too early")
	errString  = errors.New("a string is malformed or not UTF-8")
)

// peek returns the next byte, 0 at the end.
func (l *lexer) peek() byte {
	if l.at < len(l.b) {
		return l.b[l.at]
	}
	return 0
}

func (l *lexer) space() {
	for l.at < len(l.b) {
		switch l.b[l.at] {
		case ' ', '\t', '\n', '\r':
			l.at++
		default:
			return
		}
	}
}

func (l *lexer) expected(what string) error {
	if l.at >= len(l.b) {
		return errCut
	}
	return fmt.Errorf("expected %s, found %q", what, l.b[l.at])
}

func (l *lexer) take(c byte) error {
	if l.peek() != c || l.at >= len(l.b) {
		return l.expected(fmt.Sprintf("%q", c))
	}
	l.at++
	return nil
}

func (l *lexer) literal(s string) bool {
	if len(l.b)-l.at < len(s) || string(l.b[l.at:l.at+len(s)]) != s {
		return false
	}
	l.at += len(s)
	return true
}

func (l *lexer) null() bool { return l.literal("null") }

// members reads an object and calls value at the beginning of each member's value, which it must read.
func (l *lexer) members(depth int, value func(name []byte) error) error {
	if depth > maxNesting {
		return errNesting
	}
	if err := l.take('{'); err != nil {
		return err
	}
	if l.space(); l.peek() == '}' {
		l.at++
		return nil
	}
	for {
		l.space()
		name, err := l.str()
		if err != nil {
			return err
		}
		l.space()
		if err := l.take(':'); err != nil {
			return err
		}
		l.space()
		if err := value(name); err != nil {
			return err
		}
		if done, err := l.comma('}'); done || err != nil {
			return err
		}
	}
}

// elements reads an array and calls value at the beginning of each element.
func (l *lexer) elements(depth int, value func() error) error {
	if depth > maxNesting {
		return errNesting
	}
	if l.peek() != '[' {
		return l.expected("an array")
	}
	l.at++
	if l.space(); l.peek() == ']' {
		l.at++
		return nil
	}
	for {
		l.space()
		if err := value(); err != nil {
			return err
		}
		if done, err := l.comma(']'); done || err != nil {
			return err
		}
	}
}

func (l *lexer) comma(end byte) (done bool, err error) {
	l.space()
	switch l.peek() {
	case end:
		l.at++
		return true, nil
	case ',':
		l.at++
		return false, nil
	}
	return false, l.expected(fmt.Sprintf("',' or %q", end))
}

// skip reads a value of any kind and forgets it.
func (l *lexer) skip(depth int) error {
	switch c := l.peek(); {
	case c == '{':
		return l.members(depth, func([]byte) error { return l.skip(depth + 1) })
	case c == '[':
		return l.elements(depth, func() error { return l.skip(depth + 1) })
	case c == '"':
		_, err := l.str()
		return err
	case l.literal("true") || l.literal("false") || l.null():
		return nil
	}
	_, err := l.numeral()
	return err
}

// str reads a string; the result refers to the text, unless it holds escapes.
func (l *lexer) str() ([]byte, error) {
	if l.peek() != '"' {
		return nil, l.expected("a string")
	}
	begin, plain := l.at, true
	for i := begin + 1; i < len(l.b); i++ {
		switch c := l.b[i]; {
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			return nil, errString
		case c == '"':
			l.at = i + 1
			return unquote(l.b[begin:l.at], plain)
		}
	}
	return nil, errCut
}

func unquote(quoted []byte, plain bool) ([]byte, error) {
	if !utf8.Valid(quoted) {
		return nil, errString
	}
	if plain {
		return quoted[1 : len(quoted)-1], nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return nil, errString
	}
	return []byte(s), nil
}

// numeral reads a number and returns its text.
func (l *lexer) numeral() ([]byte, error) {
	end := l.at
	for end < len(l.b) {
		switch c := l.b[end]; {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			end++
			continue
		}
		break
	}
	s := l.b[l.at:end]
	if !isNumeral(s) {
		return nil, l.expected("a value")
	}
	l.at = end
	return s, nil
}

// isNumeral reports whether s is a number in JSON's grammar.
func isNumeral(s []byte) bool {
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	whole := digits(s)
	if whole == 0 || whole > 1 && s[0] == '0' {
		return false
	}
	s = s[whole:]
	if len(s) > 0 && s[0] == '.' {
		n := digits(s[1:])
		if n == 0 {
			return false
		}
		s = s[1+n:]
	}
	if len(s) > 0 && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		n := digits(s)
		return n > 0 && n == len(s)
	}
	return len(s) == 0
}

func digits(s []byte) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
