package config

import (
	"fmt"
	"sort"
	"unicode/utf8"
)

// MaxFileSize is the size of the largest file that is read, in bytes. The TOML
// library's time grows with the square of the keys in a table.
const MaxFileSize = 256 << 10

// maxDepth bounds how deep tables and lists are nested; a composite needs five.
const maxDepth = 32

// node is what was read at one place: a table, or a value.
type node struct {
	at place
	// value is a string, bool, int64, float64, []string, list, null, or anything
	// else that no option takes; it is nil for a table.
	value any
	// fromText marks a value of the environment.
	fromText bool
	fields   map[string]*node
}

type (
	list  struct{} // a list of other things than strings
	null  struct{}
	table struct{}
)

func newTable(at place) *node { return &node{at: at, fields: map[string]*node{}} }

func (n *node) isTable() bool { return n.fields != nil }

// content is the value, or table{}, for messages.
func (n *node) content() any {
	if n.isTable() {
		return table{}
	}
	return n.value
}

// listOf makes a value of a list's items.
func listOf(items []any) any {
	texts := make([]string, 0, len(items))
	for _, item := range items {
		text, ok := item.(string)
		if !ok {
			return list{}
		}
		texts = append(texts, text)
	}
	return texts
}

// checkText refuses what no parser should see.
func checkText(file string, text []byte) *Error {
	at := place{file: file}
	switch {
	case len(text) > MaxFileSize:
		return at.error("", fmt.Sprintf("is larger than %d bytes; is it a configuration?", MaxFileSize), "")
	case !utf8.Valid(text):
		at = newSource(file, text).at(validPrefix(text))
		return at.error("", "is not UTF-8 here", "")
	}
	return nil
}

func validPrefix(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return len(text)
}

// source is a text in which places are looked up.
type source struct {
	file string
	text []byte
	// lines are the offsets at which lines begin.
	lines []int
}

func newSource(file string, text []byte) *source {
	s := &source{file: file, text: text, lines: []int{0}}
	for i, c := range text {
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// at is the place of an offset; lines and columns count from 1, columns in bytes.
func (s *source) at(offset int) place {
	line := sort.SearchInts(s.lines, offset+1)
	return place{file: s.file, line: line, column: offset - s.lines[line-1] + 1}
}
