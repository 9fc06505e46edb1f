package otlp

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxNesting bounds how deep a JSON body may nest; an export's own structure needs 12, each level of an attribute's value 3.
const maxNesting = 64

// A schema says how the JSON form of one protobuf message is read. It is made from the message's own description, so that it cannot
// differ from it.
type schema struct {
	name   string
	fields map[string]*schemaField // by JSON name and by original name
}

type schemaField struct {
	number   uint64
	kind     protoreflect.Kind
	repeated bool
	message  *schema           // of messages
	enum     map[string]uint64 // of enums: names, which OTLP/JSON does not want and the protobuf mapping allows
	name     protoreflect.Name // for errors
}

// newSchema describes md and everything in it.
func newSchema(md protoreflect.MessageDescriptor) *schema {
	return buildSchema(md, map[protoreflect.FullName]*schema{})
}

func buildSchema(md protoreflect.MessageDescriptor, seen map[protoreflect.FullName]*schema) *schema {
	if s := seen[md.FullName()]; s != nil {
		return s
	}
	s := &schema{name: string(md.Name()), fields: map[string]*schemaField{}}
	seen[md.FullName()] = s
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := &schemaField{number: uint64(fd.Number()), kind: fd.Kind(), repeated: fd.IsList(), name: fd.Name()}
		switch fd.Kind() {
		case protoreflect.MessageKind:
			f.message = buildSchema(fd.Message(), seen)
		case protoreflect.EnumKind:
			f.enum = map[string]uint64{}
			for j := range fd.Enum().Values().Len() {
				v := fd.Enum().Values().Get(j)
				f.enum[string(v.Name())] = uint64(int64(v.Number()))
			}
		}
		s.fields[fd.JSONName()] = f
		s.fields[string(fd.Name())] = f
	}
	return s
}

// A transcoder turns an OTLP/JSON body into the protobuf message that says the same, so that there is one decoder behind both. It
// writes at most about eight bytes for each byte it reads (a number of one digit becomes a double or a fixed64).
type transcoder struct {
	lexer
	out  []byte
	most int
}

var (
	errNotObject = errors.New("the body is not a JSON object")
	errOutput    = errors.New("the message is too large")
)

// transcode appends the message to dst; it stops with errOutput when the message has more than most bytes.
func transcode(dst, body []byte, s *schema, most int) ([]byte, error) {
	t := transcoder{lexer: lexer{b: body}, out: dst, most: len(dst) + most}
	if t.space(); t.peek() != '{' {
		return dst, errNotObject
	}
	if err := t.object(s, 1); err != nil {
		return dst, fmt.Errorf("JSON at byte %d: %w", t.at, err)
	}
	if t.space(); t.at != len(body) {
		return dst, fmt.Errorf("JSON at byte %d: something follows the object", t.at)
	}
	return t.out, nil
}

func (t *transcoder) object(s *schema, depth int) error {
	return t.members(depth, func(name []byte) error {
		f := s.fields[string(name)]
		if f == nil {
			return t.skip(depth + 1)
		}
		if t.null() {
			return nil
		}
		if err := t.value(f, depth+1); err != nil {
			return fmt.Errorf("%s.%s: %w", s.name, f.name, err)
		}
		return nil
	})
}

func (t *transcoder) value(f *schemaField, depth int) error {
	switch {
	case !f.repeated && f.kind == protoreflect.MessageKind:
		return t.message(f, depth)
	case !f.repeated:
		return t.scalar(f, true)
	case f.kind == protoreflect.MessageKind:
		return t.elements(depth, func() error { return t.message(f, depth+1) })
	case f.kind == protoreflect.StringKind || f.kind == protoreflect.BytesKind:
		return t.elements(depth, func() error { return t.scalar(f, true) })
	}
	at := t.open(f)
	err := t.elements(depth, func() error { return t.scalar(f, false) })
	t.shut(at)
	return err
}

func (t *transcoder) message(f *schemaField, depth int) error {
	if t.peek() != '{' {
		return t.expected("an object")
	}
	if len(t.out) > t.most {
		return errOutput
	}
	at := t.open(f)
	err := t.object(f.message, depth)
	t.shut(at)
	return err
}

// lengthBytes is how many bytes a length takes that is written before it is known: a varint with redundant continuation.
const lengthBytes = 4

func (t *transcoder) open(f *schemaField) int {
	t.out = binary.AppendUvarint(t.out, tagBytes(f.number))
	t.out = append(t.out, 0, 0, 0, 0)
	return len(t.out)
}

func (t *transcoder) shut(at int) {
	n := len(t.out) - at
	for i := range lengthBytes {
		t.out[at-lengthBytes+i] = byte(n)&0x7f | 0x80
		n >>= 7
	}
	t.out[at-1] &= 0x7f
}

// scalar writes one value, with its tag unless it stands in a packed field.
func (t *transcoder) scalar(f *schemaField, tagged bool) error {
	if len(t.out) > t.most {
		return errOutput
	}
	switch f.kind {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return t.text(f)
	}
	var wire, v uint64
	var err error
	switch f.kind {
	case protoreflect.BoolKind:
		wire = wireVarint
		v, err = t.boolean()
	case protoreflect.EnumKind:
		wire = wireVarint
		v, err = t.enumeration(f)
	case protoreflect.DoubleKind:
		wire = wireFixed64
		var d float64
		d, err = t.double()
		v = math.Float64bits(d)
	case protoreflect.Fixed64Kind:
		wire = wireFixed64
		v, err = t.unsigned(64)
	case protoreflect.Sfixed64Kind:
		wire = wireFixed64
		v, err = t.signed(64)
	case protoreflect.Uint32Kind:
		v, err = t.unsigned(32)
	case protoreflect.Uint64Kind:
		v, err = t.unsigned(64)
	case protoreflect.Int32Kind:
		v, err = t.signed(32)
	case protoreflect.Int64Kind:
		v, err = t.signed(64)
	case protoreflect.Sint32Kind:
		v, err = t.signed(32)
		v = v<<1 ^ uint64(int64(v)>>63)
	default:
		err = fmt.Errorf("kind %v is not supported", f.kind)
	}
	if err != nil {
		return err
	}
	if tagged {
		t.out = binary.AppendUvarint(t.out, f.number<<3|wire)
	}
	if wire == wireFixed64 {
		t.out = binary.LittleEndian.AppendUint64(t.out, v)
	} else {
		t.out = binary.AppendUvarint(t.out, v)
	}
	return nil
}

func (t *transcoder) text(f *schemaField) error {
	s, err := t.str()
	if err != nil {
		return err
	}
	if f.kind == protoreflect.BytesKind {
		if s, err = decodeBase64(s); err != nil {
			return err
		}
	}
	t.out = binary.AppendUvarint(t.out, tagBytes(f.number))
	t.out = appendBytes(t.out, s)
	return nil
}

// decodeBase64 takes both alphabets, with padding and without; trace and span identities are hexadecimal in OTLP/JSON, which
// passes as well, since nothing reads them here.
func decodeBase64(s []byte) ([]byte, error) {
	text := slices.Clone(s)
	for i, c := range text {
		switch c {
		case '-':
			text[i] = '+'
		case '_':
			text[i] = '/'
		}
	}
	for len(text) > 0 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	out, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil {
		return nil, fmt.Errorf("not base64: %w", err)
	}
	return out, nil
}

func (t *transcoder) boolean() (uint64, error) {
	switch {
	case t.literal("true"):
		return 1, nil
	case t.literal("false"):
		return 0, nil
	}
	return 0, t.expected("true or false")
}

func (t *transcoder) enumeration(f *schemaField) (uint64, error) {
	if t.peek() != '"' {
		return t.signed(32)
	}
	s, err := t.str()
	if err != nil {
		return 0, err
	}
	v, ok := f.enum[string(s)]
	if !ok {
		return 0, fmt.Errorf("%q is not a value of %s", clip(s), f.name)
	}
	return v, nil
}

// number returns the text of a number, which the mapping allows in quotes as well.
func (t *transcoder) number() ([]byte, error) {
	if t.peek() != '"' {
		return t.numeral()
	}
	s, err := t.str()
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (t *transcoder) double() (float64, error) {
	s, err := t.number()
	if err != nil {
		return 0, err
	}
	switch string(s) {
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	if !isNumeral(s) {
		return 0, fmt.Errorf("%q is not a number", clip(s))
	}
	v, err := strconv.ParseFloat(string(s), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number that a double can hold", clip(s))
	}
	return v, nil
}

func (t *transcoder) unsigned(bits int) (uint64, error) {
	s, err := t.number()
	if err != nil {
		return 0, err
	}
	if v, err := strconv.ParseUint(string(s), 10, bits); err == nil {
		return v, nil
	}
	v, err := wholeNumber(s)
	if err != nil || v < 0 || v >= math.Ldexp(1, bits) {
		return 0, fmt.Errorf("%q is not a whole number from 0 that %d bits can hold", clip(s), bits)
	}
	return uint64(v), nil
}

func (t *transcoder) signed(bits int) (uint64, error) {
	s, err := t.number()
	if err != nil {
		return 0, err
	}
	if v, err := strconv.ParseInt(string(s), 10, bits); err == nil {
		return uint64(v), nil
	}
	v, err := wholeNumber(s)
	if err != nil || v < -math.Ldexp(1, bits-1) || v >= math.Ldexp(1, bits-1) {
		return 0, fmt.Errorf("%q is not a whole number that %d bits can hold", clip(s), bits)
	}
	return uint64(int64(v)), nil
}

// wholeNumber reads "1e3" and "2.0", which JSON writers make of whole numbers.
func wholeNumber(s []byte) (float64, error) {
	if !isNumeral(s) {
		return 0, strconv.ErrSyntax
	}
	v, err := strconv.ParseFloat(string(s), 64)
	if err == nil && v != math.Trunc(v) {
		err = strconv.ErrRange
	}
	return v, err
}
