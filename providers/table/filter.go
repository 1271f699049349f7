package table

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Filter is a condition on a row. It is as SQL has it: a comparison with null is neither
// true nor false, Not of it neither, and a row is chosen where the whole is true.
//
// A filter fits a table where its columns are there and its values are of their types;
// a whole number does for a float. JSON columns know IsNull alone. Else it is ErrInvalid.
type Filter interface {
	// bind returns the condition over the columns of a table, or its negation.
	bind(d *definition, not bool) (condition, error)
	fmt.Stringer
}

type operator uint8

const (
	eq operator = iota
	ne
	lt
	ge
	gt
	le
	like
	notLike
	in
	notIn
	isNull
	notNull
)

var operatorNames = [...]string{"=", "<>", "<", ">=", ">", "<=", "LIKE", "NOT LIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL"}

// negated returns the operator of the opposite: the pairs stand side by side.
func (o operator) negated() operator {
	return [...]operator{ne, eq, ge, lt, le, gt, notLike, like, notIn, in, notNull, isNull}[o]
}

type comparison struct {
	column string
	op     operator
	values []Value
}

type junction struct {
	or    bool
	parts []Filter
}

type negation struct{ of Filter }

// Eq is column = v.
func Eq(column string, v Value) Filter { return comparison{column, eq, []Value{v}} }

// Ne is column <> v.
func Ne(column string, v Value) Filter { return comparison{column, ne, []Value{v}} }

// Lt is column < v.
func Lt(column string, v Value) Filter { return comparison{column, lt, []Value{v}} }

// Le is column <= v.
func Le(column string, v Value) Filter { return comparison{column, le, []Value{v}} }

// Gt is column > v.
func Gt(column string, v Value) Filter { return comparison{column, gt, []Value{v}} }

// Ge is column >= v.
func Ge(column string, v Value) Filter { return comparison{column, ge, []Value{v}} }

// Like matches a text column, all of it, against a pattern: % is any number of letters,
// _ is one letter, and a backslash takes what follows it as it stands. Letters are
// Unicode code points, and their case counts.
func Like(column, pattern string) Filter { return comparison{column, like, []Value{Text(pattern)}} }

// In is whether the column is one of the values; of none it is false.
func In(column string, values ...Value) Filter {
	return comparison{column, in, slices.Clone(values)}
}

// IsNull is whether the column is null.
func IsNull(column string) Filter { return comparison{column: column, op: isNull} }

// And is true where all of the filters are; of none it is true.
func And(filters ...Filter) Filter { return junction{false, slices.Clone(filters)} }

// Or is true where one of the filters is; of none it is false.
func Or(filters ...Filter) Filter { return junction{true, slices.Clone(filters)} }

// Not is true where the filter is false, and false where it is true.
func Not(f Filter) Filter { return negation{f} }

// All is the filter that every row passes. Update and Delete want it said.
func All() Filter { return And() }

// String shows the filter as SQL has it.
func (c comparison) String() string {
	switch c.op {
	case isNull, notNull:
		return c.column + " " + operatorNames[c.op]
	case in, notIn:
		var all []string
		for _, v := range c.values {
			all = append(all, v.String())
		}
		return fmt.Sprintf("%s %s (%s)", c.column, operatorNames[c.op], strings.Join(all, ", "))
	}
	return fmt.Sprintf("%s %s %s", c.column, operatorNames[c.op], c.values[0])
}

// String shows the filter as SQL has it.
func (j junction) String() string {
	if len(j.parts) == 0 {
		return map[bool]string{false: "TRUE", true: "FALSE"}[j.or]
	}
	var all []string
	for _, f := range j.parts {
		all = append(all, fmt.Sprint(f))
	}
	return "(" + strings.Join(all, map[bool]string{false: " AND ", true: " OR "}[j.or]) + ")"
}

// String shows the filter as SQL has it.
func (n negation) String() string { return fmt.Sprintf("NOT (%v)", n.of) }

// condition is a filter bound to a table, without negations: they have gone down to the
// comparisons, which De Morgan's laws allow in three-valued logic too.
type condition struct {
	// parts are those of a conjunction or, if or is set, of a disjunction; nil is a
	// comparison.
	or       bool
	junction bool
	parts    []condition

	column  int
	op      operator
	values  []Value // sorted, without duplicates, for in and notIn
	pattern []rune  // of like and notLike; see compileLike
}

// maxFilterDepth bounds how deep filters are nested.
const maxFilterDepth = 100

func (c comparison) bind(d *definition, not bool) (condition, error) {
	i, err := d.column(c.column)
	if err != nil {
		return condition{}, fmt.Errorf("filter: %w", err)
	}
	b := condition{column: i, op: c.op}
	if not {
		b.op = c.op.negated()
	}
	kind := d.Columns[i].kind
	bad := func(format string, args ...any) (condition, error) {
		return condition{}, fmt.Errorf("filter %s: %w: %s", cut(c.String()), ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch c.op {
	case isNull:
		return b, nil
	case like:
		if kind != TextType {
			return bad("column %s is of type %s, and LIKE wants a text", c.column, kind)
		}
		if b.pattern, err = compileLike(c.values[0].s); err != nil {
			return bad("%v", err)
		}
		return b, nil
	}
	if !kind.ordered() {
		return bad("column %s is of type %s, whose values cannot be compared", c.column, kind)
	}
	b.values = c.values // the filter's own, unless they are changed
	if c.op == in {
		b.values = slices.Clone(c.values)
	}
	for i, v := range c.values {
		if v.IsNull() {
			return bad("nothing is equal to null, or less; use IsNull")
		}
		fitted, err := fit(v, kind)
		if err != nil {
			return condition{}, fmt.Errorf("filter %s: %w", cut(c.String()), err)
		}
		switch {
		case c.op == in:
			b.values[i] = fitted
		case fitted != v: // of one value
			b.values = []Value{fitted}
		}
	}
	if c.op == in {
		slices.SortFunc(b.values, Compare)
		b.values = slices.Compact(b.values)
	}
	return b, nil
}

func (j junction) bind(d *definition, not bool) (condition, error) {
	b := condition{junction: true, or: j.or != not}
	for _, f := range j.parts {
		if f == nil {
			return b, fmt.Errorf("filter: %w: a nil filter in an And or an Or; leave it out", ErrInvalid)
		}
		part, err := f.bind(d, not)
		if err != nil {
			return b, err
		}
		if part.junction && part.or == b.or {
			b.parts = append(b.parts, part.parts...)
		} else {
			b.parts = append(b.parts, part)
		}
	}
	return b, nil
}

func (n negation) bind(d *definition, not bool) (condition, error) {
	if n.of == nil {
		return condition{}, fmt.Errorf("filter: %w: Not of nil", ErrInvalid)
	}
	return n.of.bind(d, !not)
}

// depth returns how deep a filter is nested, as far as it matters.
func depth(f Filter, so int) int {
	if so > maxFilterDepth {
		return so
	}
	deepest := so
	switch f := f.(type) {
	case junction:
		for _, part := range f.parts {
			deepest = max(deepest, depth(part, so+1))
		}
	case negation:
		deepest = depth(f.of, so+1)
	}
	return deepest
}

// bindFilter binds a filter; nil is every row.
func (d *definition) bindFilter(f Filter) (condition, error) {
	if f == nil {
		return condition{junction: true}, nil
	}
	if depth(f, 0) > maxFilterDepth {
		return condition{}, fmt.Errorf("filter: %w: nested more than %d deep", ErrInvalid, maxFilterDepth)
	}
	return f.bind(d, false)
}

// truth is a value of three-valued logic.
type truth uint8

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// of returns whether the condition holds for a row.
func (c *condition) of(row []Value) truth {
	if c.junction {
		so := yes
		if c.or {
			so = no
		}
		for i := range c.parts {
			t := c.parts[i].of(row)
			if c.or {
				so = max(so, t)
			} else {
				so = min(so, t)
			}
			if c.or && so == yes || !c.or && so == no {
				break
			}
		}
		return so
	}
	v := row[c.column]
	switch c.op {
	case isNull:
		return truthOf(v.IsNull())
	case notNull:
		return truthOf(!v.IsNull())
	case in, notIn:
		if len(c.values) == 0 { // which not even null is
			return truthOf(c.op == notIn)
		}
	}
	if v.IsNull() {
		return unknown
	}
	switch c.op {
	case eq:
		return truthOf(v == c.values[0])
	case ne:
		return truthOf(v != c.values[0])
	case lt:
		return truthOf(Compare(v, c.values[0]) < 0)
	case le:
		return truthOf(Compare(v, c.values[0]) <= 0)
	case gt:
		return truthOf(Compare(v, c.values[0]) > 0)
	case ge:
		return truthOf(Compare(v, c.values[0]) >= 0)
	case like:
		return truthOf(matchLike(c.pattern, v.s))
	case notLike:
		return truthOf(!matchLike(c.pattern, v.s))
	}
	_, found := slices.BinarySearchFunc(c.values, v, Compare)
	return truthOf(found == (c.op == in))
}

// In a compiled pattern the wildcards are negative, which no letter is.
const (
	anyLetters rune = -1
	oneLetter  rune = -2
)

// compileLike returns a pattern with its escapes resolved.
func compileLike(pattern string) ([]rune, error) {
	if !utf8.ValidString(pattern) {
		return nil, fmt.Errorf("the pattern is not UTF-8")
	}
	out := make([]rune, 0, len(pattern))
	escaped := false
	for _, r := range pattern {
		switch {
		case escaped:
			out, escaped = append(out, r), false
		case r == '\\':
			escaped = true
		case r == '%':
			if len(out) == 0 || out[len(out)-1] != anyLetters {
				out = append(out, anyLetters)
			}
		case r == '_':
			out = append(out, oneLetter)
		default:
			out = append(out, r)
		}
	}
	if escaped {
		return nil, fmt.Errorf("the pattern ends with a backslash that escapes nothing")
	}
	return out, nil
}

// likePrefix returns what every text that a pattern matches begins with, and whether the
// pattern matches that text alone.
func likePrefix(pattern []rune) (prefix string, whole bool) {
	i := slices.IndexFunc(pattern, func(r rune) bool { return r < 0 })
	if i < 0 {
		return string(pattern), true
	}
	return string(pattern[:i]), false
}

// matchLike reports whether the pattern matches all of s. It goes back to the last % only,
// since what an earlier one could take the last one can: its time is at most the product
// of the lengths.
func matchLike(pattern []rune, s string) bool {
	p, at := 0, 0
	star, from := -1, 0
	for at < len(s) {
		r, size := utf8.DecodeRuneInString(s[at:])
		switch {
		case p < len(pattern) && pattern[p] == anyLetters:
			star, from = p, at
			p++
		case p < len(pattern) && (pattern[p] == oneLetter || pattern[p] == r):
			p++
			at += size
		case star >= 0:
			_, size := utf8.DecodeRuneInString(s[from:])
			from += size
			p, at = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == anyLetters {
		p++
	}
	return p == len(pattern)
}

// cut bounds what an error shows of a filter.
func cut(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
