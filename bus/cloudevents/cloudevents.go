// Package cloudevents says what the public events of Evenkeel look like, and turns them from one form into another.
//
// Events are CloudEvents 1.0. On NATS they are in binary mode: each attribute is a header "ce-<name>", the data is the message. Over
// HTTP and on the command line they are in structured mode: one JSON object, as [Event] is written and read here. What follows for
// consumers: unknown attributes and unknown fields of data are to be ignored, since both may come with any release; a change
// that breaks them gets another type (…v2).
//
// [Types] lists all types with their subjects and JSON Schemas; [AsyncAPI] makes one document of them. The schemas stand in the
// folder types; a test in test/events holds them against the structs that are really sent. [Line] writes an event for people.
package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"evenkeel.dev/bus"
)

// An Event is a CloudEvent. Its JSON form is the structured mode.
type Event struct {
	ID              string
	Source          string // URI reference, for example "/evenkeel/slo/3"
	Type            string
	Subject         string      // may be ""
	Time            string      // RFC 3339, may be ""
	DataContentType string      // "" is JSON
	DataSchema      string      // may be ""
	Extensions      []bus.Field // sorted by name; names are lower-case letters and digits
	Data            []byte      // JSON, unless DataContentType says otherwise; may be empty
}

const (
	specVersion    = "1.0"
	structuredType = "application/cloudevents"
	extensionsMax  = 64 // attributes beside the standard ones
)

// From reads an event from a message's headers and data: binary mode, or structured mode when the content type says so. The headers
// that Evenkeel adds for itself (Ek-…) and those of NATS are left out.
func From(h bus.Header, data []byte) (Event, error) {
	var e Event
	version := ""
	for _, f := range h {
		name, ok := strings.CutPrefix(strings.ToLower(f.Name), "ce-")
		if !ok {
			if strings.EqualFold(f.Name, "content-type") {
				e.DataContentType = f.Value
			}
			continue
		}
		if name == "specversion" {
			version = f.Value
		} else if err := e.set(name, f.Value); err != nil {
			return Event{}, err
		}
	}
	if strings.HasPrefix(strings.ToLower(e.DataContentType), structuredType) {
		return Parse(data)
	}
	if version != specVersion {
		return Event{}, fmt.Errorf("cloudevents: specversion is %q, known is %q", version, specVersion)
	}
	e.Data = data
	return e, e.Validate()
}

// Header returns the event's attributes in binary mode.
func (e *Event) Header() bus.Header {
	h := bus.Header{{Name: "ce-specversion", Value: specVersion}}
	for _, f := range e.attributes() {
		if f.Name == "datacontenttype" {
			h = append(h, bus.Field{Name: "content-type", Value: f.Value})
		} else {
			h = append(h, bus.Field{Name: "ce-" + f.Name, Value: f.Value})
		}
	}
	return h
}

// attributes are all that are set, but for specversion, in a fixed order.
func (e *Event) attributes() []bus.Field {
	all := append([]bus.Field{
		{Name: "id", Value: e.ID}, {Name: "source", Value: e.Source}, {Name: "type", Value: e.Type}, {Name: "subject", Value: e.Subject}, {Name: "time", Value: e.Time},
		{Name: "datacontenttype", Value: e.DataContentType}, {Name: "dataschema", Value: e.DataSchema},
	}, e.Extensions...)
	return slices.DeleteFunc(all, func(f bus.Field) bool { return f.Value == "" })
}

func (e *Event) set(name, value string) error {
	switch name {
	case "id":
		e.ID = value
	case "source":
		e.Source = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "time":
		e.Time = value
	case "datacontenttype":
		e.DataContentType = value
	case "dataschema":
		e.DataSchema = value
	default:
		return e.SetExtension(name, value)
	}
	return nil
}

// SetExtension sets an attribute beside the standard ones. An error says that the name is none or that there are too many.
func (e *Event) SetExtension(name, value string) error {
	if !extensionName(name) {
		return fmt.Errorf("cloudevents: attribute name %q is not of lower-case letters and digits", name)
	}
	i, found := slices.BinarySearchFunc(e.Extensions, name, func(f bus.Field, n string) int { return strings.Compare(f.Name, n) })
	if found {
		e.Extensions[i].Value = value
		return nil
	}
	if len(e.Extensions) >= extensionsMax {
		return fmt.Errorf("cloudevents: more than %d attributes", extensionsMax)
	}
	e.Extensions = slices.Insert(e.Extensions, i, bus.Field{Name: name, Value: value})
	return nil
}

func extensionName(s string) bool {
	if s == "" || len(s) > 64 || slices.Contains([]string{"data", "data_base64", "specversion"}, s) {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) < 0
}

// Validate says which attribute breaks CloudEvents 1.0, or nil.
func (e *Event) Validate() error {
	for _, f := range []bus.Field{{Name: "id", Value: e.ID}, {Name: "source", Value: e.Source}, {Name: "type", Value: e.Type}} {
		if f.Value == "" {
			return fmt.Errorf("cloudevents: attribute %s is missing", f.Name)
		}
	}
	if _, err := url.Parse(e.Source); err != nil {
		return fmt.Errorf("cloudevents: attribute source is no URI reference: %q", e.Source)
	}
	if e.DataSchema != "" {
		if u, err := url.Parse(e.DataSchema); err != nil || !u.IsAbs() {
			return fmt.Errorf("cloudevents: attribute dataschema is no absolute URI: %q", e.DataSchema)
		}
	}
	if e.Time != "" {
		if _, err := time.Parse(time.RFC3339Nano, e.Time); err != nil {
			return fmt.Errorf("cloudevents: attribute time is not RFC 3339: %q", e.Time)
		}
	}
	if e.isJSON() && len(e.Data) > 0 && !json.Valid(e.Data) {
		return fmt.Errorf("cloudevents: event %s: its data is not JSON, as datacontenttype says", e.ID)
	}
	return nil
}

func (e *Event) isJSON() bool {
	t, _, _ := strings.Cut(strings.ToLower(e.DataContentType), ";")
	t = strings.TrimSpace(t)
	return t == "" || t == "application/json" || strings.HasSuffix(t, "+json")
}

// MarshalJSON writes the structured mode: the attributes in a fixed order, then the data.
func (e Event) MarshalJSON() ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(`{"specversion":"` + specVersion + `"`)
	for _, f := range e.attributes() {
		writeField(&b, f.Name, f.Value)
	}
	switch {
	case len(e.Data) == 0:
	case e.isJSON():
		b.WriteString(`,"data":`)
		b.Write(e.Data)
	default:
		writeField(&b, "data_base64", base64.StdEncoding.EncodeToString(e.Data))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func writeField(b *bytes.Buffer, name, value string) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // a string always encodes
	}
	fmt.Fprintf(b, ",%q:%s", name, text)
}

// Parse reads the structured mode and validates it.
func Parse(b []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(b, &e); err != nil {
		return Event{}, err
	}
	return e, nil
}

// UnmarshalJSON reads the structured mode and validates it.
func (e *Event) UnmarshalJSON(b []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return fmt.Errorf("cloudevents: %w", err)
	}
	*e = Event{}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	version := ""
	for _, name := range names {
		raw := fields[name]
		switch name {
		case "data":
			if !bytes.Equal(raw, []byte("null")) {
				e.Data = raw
			}
			continue
		case "data_base64":
			if err := json.Unmarshal(raw, &e.Data); err != nil {
				return fmt.Errorf("cloudevents: data_base64: %w", err)
			}
			continue
		}
		value, err := attribute(raw)
		switch {
		case err != nil:
			return fmt.Errorf("cloudevents: attribute %s: %w", name, err)
		case name == "specversion":
			version = value
		default:
			if err := e.set(name, value); err != nil {
				return err
			}
		}
	}
	if version != specVersion {
		return fmt.Errorf("cloudevents: specversion is %q, known is %q", version, specVersion)
	}
	return e.Validate()
}

// attribute reads a value, which may be a string, a boolean or an integer; null is none.
func attribute(raw json.RawMessage) (string, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return fmt.Sprint(v), nil
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return v.String(), nil
		}
	}
	return "", errors.New("is no string, boolean or integer")
}
