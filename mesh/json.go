package mesh

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// DepthMax and KeysMax bound how deep a document may nest and how many keys one map may have; no kind of definition comes near.
const (
	DepthMax = 32
	KeysMax  = 1000
)

// ReadJSON reads one JSON value, for example the Spec of a definition, with the places of its parts in b. A key that stands twice
// is an error ([Problems], with the place), and so is what nests too deeply; the work is linear in the length of b.
func ReadJSON(b []byte) (*Node, error) {
	if !json.Valid(b) {
		return nil, Problems{{Line: 1, Column: 1, Message: "this is not valid JSON"}}
	}
	p := jsonParser{d: json.NewDecoder(bytes.NewReader(b)), b: b, line: 1, column: 1}
	p.d.UseNumber()
	return p.value(0)
}

type jsonParser struct {
	d            *json.Decoder
	b            []byte
	seen         int // offset up to which lines and columns are counted
	line, column int
}

// place returns where the token that comes next begins.
func (p *jsonParser) place() (line, column int) {
	at := int(p.d.InputOffset())
	for at < len(p.b) && strings.IndexByte(" \t\r\n,:", p.b[at]) >= 0 {
		at++
	}
	for ; p.seen < at; p.seen++ {
		switch c := p.b[p.seen]; {
		case c == '\n':
			p.line, p.column = p.line+1, 1
		case utf8.RuneStart(c):
			p.column++
		}
	}
	return p.line, p.column
}

func (p *jsonParser) value(depth int) (*Node, error) {
	if depth > DepthMax {
		line, column := p.place()
		return nil, Problems{{Line: line, Column: column, Message: fmt.Sprintf("the document nests deeper than %d", DepthMax)}}
	}
	n := &Node{}
	n.Line, n.Column = p.place()
	t, err := p.d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return n, p.fields(n, depth)
		}
		n.Kind = NodeList
		for p.d.More() {
			v, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, v)
		}
		_, err := p.d.Token()
		return n, err
	case string:
		n.Kind, n.Text = NodeString, t
	case json.Number:
		n.Kind, n.Text = NodeNumber, t.String()
	case bool:
		n.Kind, n.Text = NodeBool, strconv.FormatBool(t)
	}
	return n, nil
}

func (p *jsonParser) fields(n *Node, depth int) error {
	n.Kind = NodeMap
	for p.d.More() {
		f := Field{}
		f.Line, f.Column = p.place()
		t, err := p.d.Token()
		if err != nil {
			return err
		}
		f.Key, _ = t.(string)
		if len(n.Fields) == KeysMax {
			return Problems{{Line: f.Line, Column: f.Column, Message: fmt.Sprintf("the map has over %d keys", KeysMax)}}
		}
		if n.field(f.Key) != nil {
			return Problems{{Line: f.Line, Column: f.Column, Message: fmt.Sprintf("the key %q stands twice", f.Key)}}
		}
		if f.Value, err = p.value(depth + 1); err != nil {
			return err
		}
		n.Fields = append(n.Fields, f)
	}
	_, err := p.d.Token()
	return err
}
