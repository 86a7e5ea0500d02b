package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"go.yaml.in/yaml/v3"

	"coldstream/internal/terminal"
)

// resultError means that stdout does not take the result.
type resultError struct{ err error }

func (e *resultError) Error() string { return "write result: " + e.err.Error() }
func (e *resultError) Unwrap() error { return e.err }

// schemaVersion is that of all JSON documents.
const schemaVersion = 1

func isMachineFormat(output string) bool { return output == "json" || output == "yaml" }

// header stands first in each document.
type header struct {
	SchemaVersion int  `json:"schema_version"`
	DryRun        bool `json:"dry_run,omitempty"`
}

type errorDocument struct {
	header
	Error errorBody `json:"error"`
}

type errorBody struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

func newErrorDocument(f *failure) errorDocument {
	return errorDocument{header{SchemaVersion: schemaVersion}, errorBody{f.code, f.Error(), f.hint}}
}

// writeDocument writes one document as JSON, or as YAML with the same fields in the same
// order.
func writeDocument(w io.Writer, output string, document any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(document); err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	if output == "yaml" {
		if err := toYAML(&buf); err != nil {
			return err
		}
	}
	if _, err := w.Write(buf.Bytes()); err != nil {
		return &resultError{err}
	}
	return nil
}

// toYAML turns JSON into YAML of the same content: JSON is YAML in flow style.
func toYAML(buf *bytes.Buffer) error {
	var node yaml.Node
	if err := yaml.Unmarshal(buf.Bytes(), &node); err != nil {
		return fmt.Errorf("encode result as yaml: %w", err)
	}
	blockStyle(&node)
	out, err := yaml.Marshal(&node)
	if err != nil {
		return fmt.Errorf("encode result as yaml: %w", err)
	}
	buf.Reset()
	buf.Write(out)
	return nil
}

func blockStyle(n *yaml.Node) {
	if len(n.Content) > 0 {
		n.Style &^= yaml.FlowStyle
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// timestamp is a time in a document: RFC 3339, UTC, milliseconds.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// row are the cells of a line of a table.
type row []string

// table writes aligned columns. A row of one cell is a line of its own, below a table or
// without one. What cells are made of may come from clusters.
func table(w io.Writer, rows []row) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, cells := range rows {
		visible := make([]string, len(cells))
		for i, cell := range cells {
			visible[i] = terminal.Visible(cell)
		}
		if _, err := fmt.Fprintln(tw, strings.Join(visible, "\t")); err != nil {
			return &resultError{err}
		}
	}
	if err := tw.Flush(); err != nil {
		return &resultError{err}
	}
	return nil
}

// printLines writes lines that are no table.
func printLines(w io.Writer, lines []string) error {
	rows := make([]row, len(lines))
	for i, line := range lines {
		rows[i] = row{line}
	}
	return table(w, rows)
}

// formatBytes writes a size for people.
func formatBytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// formatCount writes a number in groups of three, as 1,234,567.
func formatCount(n int64) string { return humanize.Comma(n) }

// wasOrWere writes a count with its noun and verb.
func wasOrWere(n int64, noun string) string {
	if n == 1 {
		return plural(n, noun) + " was"
	}
	return plural(n, noun) + " were"
}

// plural writes a count with its noun.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return formatCount(n) + " " + noun + "s"
}
