package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxFileSize is the size of the largest file that is read, in bytes.
const MaxFileSize = 1 << 20

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
		at.line, at.column = position(text, validPrefix(text))
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

// position is the line and column, both from 1, of an offset.
func position(text []byte, offset int) (line, column int) {
	before := string(text[:min(offset, len(text))])
	return strings.Count(before, "\n") + 1, len(before) - strings.LastIndex(before, "\n")
}

// asError returns the *Error in err, which has one.
func asError(err error) *Error {
	var e *Error
	errors.As(err, &e)
	return e
}
