package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// outputFlag adds -o with the forms that are possible beside the table.
func outputFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "output", "o", "", "form of the answer: json or yaml (default: for people)")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

func checkOutput(o string) error {
	switch o {
	case "", "json", "yaml":
		return nil
	}
	return wrongUsage("-o %s is not known; it is json or yaml", o)
}

// printAs writes a JSON text as indented JSON or as YAML. Numbers keep their digits.
func printAs(w io.Writer, form string, text json.RawMessage) error {
	if form == "json" {
		var b bytes.Buffer
		if err := json.Indent(&b, bytes.TrimSpace(text), "", "  "); err != nil {
			return fmt.Errorf("answer of the server: %w", err)
		}
		b.WriteByte('\n')
		_, err := w.Write(b.Bytes())
		return err
	}
	var n yaml.Node // JSON is YAML; the order of fields stays
	if err := yaml.Unmarshal(text, &n); err != nil {
		return fmt.Errorf("answer of the server: %w", err)
	}
	plain(&n)
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return err
	}
	return e.Close()
}

// plain takes the JSON look (flow style, double quotes) off a YAML tree; the encoder quotes again what needs it.
func plain(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Style == yaml.DoubleQuotedStyle && n.Tag == "!!str" && strings.Contains(n.Value, "\n") {
		n.Style = yaml.LiteralStyle
	} else if n.Kind != yaml.ScalarNode || !ambiguous(n) {
		n.Style = 0
	}
	for _, c := range n.Content {
		plain(c)
	}
}

// ambiguous reports whether a quoted string would read as something else without its quotes.
func ambiguous(n *yaml.Node) bool {
	if n.Tag != "!!str" {
		return false
	}
	var v any
	return yaml.Unmarshal([]byte(n.Value), &v) != nil || fmt.Sprintf("%T", v) != "string"
}

// table writes rows in columns two spaces apart, none wider than its bound (0: none).
func table(w io.Writer, widths []int, rows [][]string) error {
	used := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			if n := utf8.RuneCountInString(cell); n > used[i] {
				used[i] = n
			}
			if i < len(widths) && widths[i] > 0 {
				used[i] = min(used[i], widths[i])
			}
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			cell = cut(cell, used[i])
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", used[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// cut shortens s to n signs, the last then being "…".
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// clean replaces control signs, so that text from elsewhere cannot move the cursor.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
