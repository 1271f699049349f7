package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/orbit-persistence/orbit/engine"
)

// Error is one mistake in a configuration. It unwraps to engine.ErrInvalid, or to
// engine.ErrUnsupported where the option is understood and no engine can honour it.
// It never holds the value of a secret.
type Error struct {
	// File is the file's name as it was given, with Line and Column from 1;
	// Variable is the environment variable. Both are empty for what a program set.
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Variable string `json:"variable,omitempty"`
	// Option is the path of the option: "providers.s3.bucket"; it may be empty.
	Option string `json:"option,omitempty"`
	// Problem says what is wrong, and what would be right.
	Problem string `json:"problem"`
	// Suggestion is what was probably meant; it may be empty.
	Suggestion string `json:"suggestion,omitempty"`

	unsupported bool
}

// Error is one line: where, which option, what is wrong and what was meant.
func (e *Error) Error() string {
	var b strings.Builder
	if place := e.place().String(); place != "" {
		b.WriteString(place + ": ")
	}
	if e.Option != "" {
		b.WriteString(e.Option + ": ")
	}
	b.WriteString(e.Problem)
	if e.Suggestion != "" {
		fmt.Fprintf(&b, "; did you mean %s?", quote(e.Suggestion))
	}
	return b.String()
}

// Unwrap returns engine.ErrInvalid or engine.ErrUnsupported.
func (e *Error) Unwrap() error {
	if e.unsupported {
		return engine.ErrUnsupported
	}
	return engine.ErrInvalid
}

func (e *Error) place() place {
	return place{file: e.File, line: e.Line, column: e.Column, variable: e.Variable}
}

// Errors returns every mistake that an error of this package holds, in the order
// of the file, those of the environment last.
func Errors(err error) []*Error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Error
		for _, e := range many.Unwrap() {
			all = append(all, Errors(e)...)
		}
		return all
	}
	var one *Error
	if errors.As(err, &one) {
		return []*Error{one}
	}
	return nil
}

// maxMistakes is how many are told at once.
const maxMistakes = 100

// join orders mistakes by place and makes them one error, nil if there are none.
func join(all []*Error) error {
	slices.SortStableFunc(all, func(a, b *Error) int {
		return cmp.Or(strings.Compare(a.Variable, b.Variable), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), strings.Compare(a.Option, b.Option))
	})
	var errs []error
	for i, e := range all {
		if len(errs) == maxMistakes {
			errs = append(errs, &Error{Problem: fmt.Sprintf("and %d more", len(all)-i)})
			break
		}
		if i == 0 || *e != *all[i-1] {
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

// place is where a value was read.
type place struct {
	file         string
	line, column int
	variable     string
}

// String is "orbit.toml:3:5", "ORBIT_S3_BUCKET", or empty.
func (p place) String() string {
	switch {
	case p.variable != "":
		return p.variable
	case p.file != "" && p.line == 0:
		return p.file
	case p.file != "":
		return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
	}
	return ""
}

func (p place) error(option, problem, suggestion string) *Error {
	return &Error{File: p.file, Line: p.line, Column: p.column, Variable: p.variable, Option: option, Problem: problem, Suggestion: suggestion}
}

// quote quotes what a user wrote, cut to 64 bytes.
func quote(s string) string {
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "…"
	}
	return strconv.Quote(s)
}

// nearest returns the name that name is probably a slip of: the one at the least
// distance, if that is at most a third of its length, and at least one letter is
// shared. The first wins among equals, or the one that is nearer letter by letter if
// they are spellings of one word.
func nearest(name string, names []string) string {
	best, least, tie := "", 0, 0
	for _, candidate := range names {
		d := distance(plain(name), plain(candidate))
		if limit := max(1, utf8.RuneCountInString(candidate)/3); d > limit || d >= utf8.RuneCountInString(candidate) {
			continue
		}
		exact := distance(name, candidate)
		if best == "" || d < least || d == least && exact < tie && plain(best) == plain(candidate) {
			best, least, tie = candidate, d, exact
		}
	}
	return best
}

// distance is the number of insertions, deletions and substitutions that make b
// of a (V. I. Levenshtein, Binary codes capable of correcting deletions,
// insertions, and reversals, 1966), by the row of Wagner and Fischer.
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range to {
			change := diagonal
			if x != y {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
