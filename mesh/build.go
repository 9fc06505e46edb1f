package mesh

import (
	"maps"
	"slices"
	"strconv"
)

// Text returns a node that holds a string. Nodes that are built have no place in a file.
func Text(s string) *Node { return &Node{Kind: NodeString, Text: s} }

// Number returns a node that holds a number, as it is written in JSON.
func Number(s string) *Node { return &Node{Kind: NodeNumber, Text: s} }

// Bool returns a node that holds true or false.
func Bool(b bool) *Node { return &Node{Kind: NodeBool, Text: strconv.FormatBool(b)} }

// List returns a node that holds a list.
func List(items ...*Node) *Node { return &Node{Kind: NodeList, Items: items} }

// Map returns a node that holds the fields that have a value, in this order.
func Map(fields ...Field) *Node {
	n := &Node{Kind: NodeMap}
	for _, f := range fields {
		if f.Value != nil {
			n.Fields = append(n.Fields, f)
		}
	}
	return n
}

// Entry returns a field of a map that is built.
func Entry(key string, value *Node) Field { return Field{Key: key, Value: value} }

// Entries returns a map of texts, sorted by key, or nil where there are none.
func Entries(texts map[string]string) *Node {
	if len(texts) == 0 {
		return nil
	}
	n := &Node{Kind: NodeMap}
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		n.Fields = append(n.Fields, Entry(key, Text(texts[key])))
	}
	return n
}
