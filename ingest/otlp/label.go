package otlp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/otlptranslator"

	"evenkeel.dev/bus"
	"evenkeel.dev/ingest"
)

// Field tags of KeyValue and AnyValue.
var (
	tagKey   = tagBytes(1)
	tagValue = tagBytes(2)

	tagAnyString = tagBytes(1)
	tagAnyBool   = tagVarint(2)
	tagAnyInt    = tagVarint(3)
	tagAnyDouble = tagFixed64(4)
	tagAnyArray  = tagBytes(5)
	tagAnyList   = tagBytes(6)
	tagAnyBytes  = tagBytes(7)
	tagElement   = tagBytes(1) // of ArrayValue and KeyValueList
)

// maxDepth bounds how deep values may nest; attributes of metrics are flat as a rule.
const maxDepth = 16

// maxAttributeBytes bounds the attributes of one data point, and those of one resource that become labels, in bytes of the message.
// The gate takes at most 16 KiB of labels unless told otherwise, 32 KiB at most.
const maxAttributeBytes = 32 << 10

var (
	errDepth     = fmt.Errorf("an attribute's value nests deeper than %d levels", maxDepth)
	errUTF8      = errors.New("a name or value is not valid UTF-8")
	errNoKey     = errors.New("an attribute has no key")
	errTooLarge  = fmt.Errorf("more than %d attributes or %d bytes of them", bus.MaxLabels, maxAttributeBytes)
	errAttribute = errors.New("an attribute is malformed")
)

// setResource takes the attributes of the resource in d.attrs: service.namespace "/" service.name is the label job,
// service.instance.id is instance, and what the settings promote gets a label of its own. Attributes that are none of these are
// not read.
func (d *decoder) setResource() {
	d.resourceLabels, d.identity = d.resourceLabels[:0], 0
	d.resourceErr = d.resourceAttributes()
	d.key = append(d.key[:0], keyVersion...)
	d.key = append(d.key, byte(d.identity))
	d.key = d.resourceLabels.Append(d.key)
	d.hashResource = ingest.Hash{}.Join(d.hash(d.key))
}

func (d *decoder) resourceAttributes() error {
	var name, namespace, instance string
	ls := d.resourceLabels
	size := 0
	for _, kv := range d.attrs {
		key, raw, err := keyAndValue(kv)
		if err != nil {
			return err
		}
		promoted := slices.Contains(d.naming.promoted, string(key))
		if !promoted && !isIdentity(key) {
			continue
		}
		if size += len(kv); size > maxAttributeBytes || len(ls) > bus.MaxLabels {
			return errTooLarge
		}
		value, err := valueText(raw)
		if err != nil {
			return err
		}
		switch string(key) {
		case "service.name":
			name = value
		case "service.namespace":
			namespace = value
		case "service.instance.id":
			instance = value
		}
		if promoted {
			label, err := d.naming.label.Build(string(key))
			if err != nil {
				return err
			}
			ls = append(ls, bus.Label{Name: label, Value: value})
		}
	}
	if name != "" && namespace != "" {
		name = namespace + "/" + name
	}
	d.resourceLabels = ls
	d.identify("instance", instance)
	d.identify("job", name)
	return nil
}

func isIdentity(key []byte) bool {
	switch string(key) {
	case "service.name", "service.namespace", "service.instance.id":
		return true
	}
	return false
}

func (d *decoder) identify(label, value string) {
	if value != "" {
		d.resourceLabels = slices.Insert(d.resourceLabels, 0, bus.Label{Name: label, Value: value})
		d.identity++
	}
}

// seriesLabels makes the labels of one series of the current data point. The result is used again at the next call.
func (d *decoder) seriesLabels(p part, bound float64) (bus.Labels, error) {
	family, err := d.family()
	if err != nil {
		return nil, err
	}
	if !d.pointReady {
		if d.pointLabels, err = d.commonLabels(d.pointLabels[:0]); err != nil {
			return nil, err
		}
		d.pointReady = true
	}
	ls := append(d.labels[:0], d.pointLabels...)
	if p == partBucket {
		ls = append(ls, bus.Label{Name: "le", Value: formatBound(bound)})
	}
	ls = append(ls, bus.Label{Name: "__name__", Value: family + partSuffix[p]})
	d.labels = ls
	return ls.Sort(), nil // stable: of equal names the last stays
}

// commonLabels makes the labels that all series of a data point share. Attributes whose names become the same are joined with ";" in
// the order of their keys; promoted resource attributes yield to them, job and instance do not.
func (d *decoder) commonLabels(ls bus.Labels) (bus.Labels, error) {
	for _, kv := range d.attrs {
		key, raw, err := keyAndValue(kv)
		switch {
		case err != nil:
			return ls, err
		case len(key) == 0:
			return ls, errNoKey
		case string(key) == "__name__":
			continue
		}
		value, err := valueText(raw)
		if err != nil {
			return ls, err
		}
		ls = append(ls, bus.Label{Name: string(key), Value: value})
	}
	slices.SortStableFunc(ls, func(a, b bus.Label) int { return strings.Compare(a.Name, b.Name) })
	ls, err := d.translate(ls)
	if err != nil {
		return ls, err
	}
	for _, l := range d.resourceLabels[d.identity:] {
		if ls.Get(l.Name) == "" {
			ls = append(ls, l)
		}
	}
	return append(ls, d.resourceLabels[:d.identity]...), nil
}

func (d *decoder) translate(ls bus.Labels) (bus.Labels, error) {
	out := ls[:0]
	for _, l := range ls {
		name, err := d.naming.label.Build(l.Name)
		if err != nil {
			return ls, err
		}
		i := slices.IndexFunc(out, func(o bus.Label) bool { return o.Name == name })
		switch {
		case i < 0:
			out = append(out, bus.Label{Name: name, Value: l.Value})
		case out[i].Value == "":
			out[i].Value = l.Value
		default:
			out[i].Value += ";" + l.Value
		}
	}
	return out, nil
}

// family returns the metric's name in Prometheus' terms, with the suffixes of its unit and type.
func (d *decoder) family() (string, error) {
	m := &d.metric
	if m.named {
		return m.family, m.familyErr
	}
	m.named = true
	switch {
	case !utf8.Valid(m.name) || !utf8.Valid(m.unit):
		m.familyErr = errUTF8
	default:
		m.family, m.familyErr = d.naming.metric.Build(otlptranslator.Metric{Name: string(m.name), Unit: string(m.unit), Type: m.translated()})
	}
	return m.family, m.familyErr
}

func (m *metric) translated() otlptranslator.MetricType {
	switch m.kind {
	case kindGauge:
		return otlptranslator.MetricTypeGauge
	case kindSum:
		if m.monotonic {
			return otlptranslator.MetricTypeMonotonicCounter
		}
		return otlptranslator.MetricTypeNonMonotonicCounter
	case kindHistogram:
		return otlptranslator.MetricTypeHistogram
	case kindExponential:
		return otlptranslator.MetricTypeExponentialHistogram
	}
	return otlptranslator.MetricTypeSummary
}

// keyAndValue splits a KeyValue message; the value is an AnyValue message, nil where there is none.
func keyAndValue(kv []byte) (key, value []byte, err error) {
	c := cursor{b: kv}
	for f := (field{}); c.next(&f); {
		switch f.tag {
		case tagKey:
			key = f.bytes
		case tagValue:
			value = f.bytes
		}
	}
	switch {
	case c.bad:
		return nil, nil, errAttribute
	case !utf8.Valid(key):
		return nil, nil, errUTF8
	}
	return key, value, nil
}

// valueText writes an AnyValue as OpenTelemetry's "string representation" does: text as it is, numbers in the shortest form,
// bytes in base64, arrays and maps as JSON.
func valueText(b []byte) (string, error) {
	v, err := anyValue(b, 0)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case []byte:
		return base64.StdEncoding.EncodeToString(v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64), nil
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("an attribute's value has no text: %w", err)
	}
	return string(text), nil
}

// anyValue reads an AnyValue message; of several values the last counts.
func anyValue(b []byte, depth int) (v any, err error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	c := cursor{b: b}
	for f := (field{}); c.next(&f) && err == nil; {
		switch f.tag {
		case tagAnyString:
			if !utf8.Valid(f.bytes) {
				return nil, errUTF8
			}
			v = string(f.bytes)
		case tagAnyBool:
			v = f.num != 0
		case tagAnyInt:
			v = int64(f.num)
		case tagAnyDouble:
			v = math.Float64frombits(f.num)
		case tagAnyBytes:
			v = f.bytes
		case tagAnyArray:
			v, err = arrayValue(f.bytes, depth)
		case tagAnyList:
			v, err = listValue(f.bytes, depth)
		}
	}
	if c.bad {
		return nil, errAttribute
	}
	return v, err
}

func arrayValue(b []byte, depth int) (any, error) {
	out := []any{}
	c := cursor{b: b}
	for f := (field{}); c.next(&f); {
		if f.tag != tagElement {
			continue
		}
		v, err := anyValue(f.bytes, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if c.bad {
		return nil, errAttribute
	}
	return out, nil
}

func listValue(b []byte, depth int) (any, error) {
	out := map[string]any{}
	c := cursor{b: b}
	for f := (field{}); c.next(&f); {
		if f.tag != tagElement {
			continue
		}
		key, raw, err := keyAndValue(f.bytes)
		if err != nil {
			return nil, err
		}
		if out[string(key)], err = anyValue(raw, depth+1); err != nil {
			return nil, err
		}
	}
	if c.bad {
		return nil, errAttribute
	}
	return out, nil
}
