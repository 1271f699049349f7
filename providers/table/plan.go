package table

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// plan is how the rows of a query are found: by the keys in the spans of each access, of
// which no row is missing that passes the filter. The filter is asked for every row all
// the same.
type plan struct {
	accesses []access // more than one for an Or over several indexes; none: no row can pass
}

// access is a walk over one path.
type access struct {
	path  *path
	spans []span // ascending, and apart from each other
	// fixed is how many columns of the path have one value in all of the spans, which
	// are in values.
	fixed  int
	values []Value
	// bound is how many columns of the path the spans bound, one range included.
	bound int
}

// span is the keys from lower on and below upper; all of them begin with prefix. An exact
// span has no key but its prefix with keyEnd.
type span struct {
	prefix, lower, upper []byte
	exact                bool
}

// key returns the only key of an exact span.
func (s *span) key() []byte { return append(s.prefix[:len(s.prefix):len(s.prefix)], keyEnd) }

// after returns the first key after all that begin with prefix, which is not all 0xff.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; ; i-- {
		if prefix[i] != 0xff {
			next := bytes.Clone(prefix[:i+1])
			next[i]++
			return next
		}
	}
}

// newSpan returns the span of keys between bounds that are encodings of some columns:
// no key is equal to such a bound, since keys end with keyEnd.
func newSpan(lower, upper []byte) span {
	n := 0
	for n < len(lower) && n < len(upper) && lower[n] == upper[n] {
		n++
	}
	// Keys below "b" that are not below "a" begin with "a".
	if bytes.Equal(after(lower), upper) {
		n = len(lower)
	}
	return span{lower[:n:n], lower, upper, false}
}

// The most spans that a list of values may make of a path, and the most accesses that an
// Or may.
const maxSpans, maxAccesses = 1024, 64

// restriction is what a conjunction says of one column.
type restriction struct {
	equal  []Value // ascending; nil: not restricted to values
	null   bool    // must be null
	lower  bound
	upper  bound
	prefix string // of texts
	// never: nothing can meet it.
	never bool
}

// bound is an end of a range.
type bound struct {
	value Value // null: open
	after bool  // of a lower one: the value is left out; of an upper one: the value is in
}

// restrict adds a comparison to what is known of its column.
func (r *restriction) restrict(c *condition) {
	narrow := func(lower, upper bound) {
		if !lower.value.IsNull() {
			if now := r.lower; now.value.IsNull() || Compare(lower.value, now.value) > 0 || lower.value == now.value && lower.after {
				r.lower = lower
			}
		}
		if !upper.value.IsNull() {
			if now := r.upper; now.value.IsNull() || Compare(upper.value, now.value) < 0 || upper.value == now.value && !upper.after {
				r.upper = upper
			}
		}
	}
	equal := func(values []Value) {
		if r.equal == nil {
			r.equal = values
		} else {
			r.equal = slices.DeleteFunc(slices.Clone(r.equal), func(v Value) bool { return !slices.Contains(values, v) })
		}
		r.never = r.never || len(r.equal) == 0
	}
	switch c.op {
	case eq, in:
		equal(c.values)
	case lt:
		narrow(bound{}, bound{c.values[0], false})
	case le:
		narrow(bound{}, bound{c.values[0], true})
	case gt:
		narrow(bound{c.values[0], true}, bound{})
	case ge:
		narrow(bound{c.values[0], false}, bound{})
	case isNull:
		r.null = true
		return
	case like:
		prefix, whole := likePrefix(c.pattern)
		if whole {
			equal([]Value{Text(prefix)})
		} else if len(prefix) > len(r.prefix) {
			r.prefix = prefix
		}
	}
	if r.equal != nil {
		r.equal = slices.DeleteFunc(slices.Clone(r.equal), func(v Value) bool { return !r.contains(v) })
		r.never = r.never || len(r.equal) == 0
	}
}

// contains reports whether a value is within the range.
func (r *restriction) contains(v Value) bool {
	if l := r.lower; !l.value.IsNull() && (Compare(v, l.value) < 0 || v == l.value && l.after) {
		return false
	}
	if u := r.upper; !u.value.IsNull() && (Compare(v, u.value) > 0 || v == u.value && !u.after) {
		return false
	}
	return strings.HasPrefix(v.s, r.prefix)
}

// ranged reports whether the restriction bounds keys without fixing a value.
func (r *restriction) ranged() bool {
	return !r.lower.value.IsNull() || !r.upper.value.IsNull() || r.prefix != ""
}

// planFor returns the plan of a condition. order is the columns in whose order the rows
// are wanted, which decides between ways that are equally good; nil if that is no matter.
func (d *definition) planFor(c *condition, order []int) plan {
	if !c.junction {
		c = &condition{junction: true, parts: []condition{*c}}
	}
	if c.or {
		return d.planOr(c.parts, order)
	}
	restrictions := map[int]*restriction{}
	for i := range c.parts {
		part := &c.parts[i]
		if part.junction {
			continue
		}
		r := restrictions[part.column]
		if r == nil {
			r = new(restriction)
			restrictions[part.column] = r
		}
		r.restrict(part)
		// Null and a value at once are nothing, and so is null in a column without.
		if r.null && (r.equal != nil || r.ranged() || d.Columns[part.column].NotNull) {
			r.never = true
		}
		if r.never {
			return plan{}
		}
	}
	best := d.accessOf(d.paths[0], restrictions)
	for _, p := range d.paths[1:] {
		if p.building || best.single() {
			continue
		}
		if a := d.accessOf(p, restrictions); a.better(&best, order) {
			best = a
		}
	}
	if best.bound == 0 {
		// An Or among the conditions may do what they cannot.
		for i := range c.parts {
			if part := &c.parts[i]; part.junction && part.or {
				if p := d.planOr(part.parts, order); !p.whole() {
					return p
				}
			}
		}
	}
	return plan{[]access{best}}
}

// pointKey returns the key of the only row that can meet a condition, where the condition
// says of each column of the primary key what it is equal to, and nothing else of it; else
// nil.
func (d *definition) pointKey(c *condition) []byte {
	primary := d.paths[0]
	key := append(make([]byte, 0, 64), primary.prefix...)
	for i, column := range primary.columns {
		only := c.onlyOf(column)
		if only == nil || only.op != eq && only.op != in || len(only.values) != 1 {
			return nil
		}
		key = primary.appendPathValue(key, i, only.values[0])
	}
	return append(key, keyEnd)
}

// onlyOf returns the comparison that must hold of a column, nil if there is none or more
// than one.
func (c *condition) onlyOf(column int) (only *condition) {
	switch {
	case !c.junction && c.column == column:
		return c
	case !c.junction || c.or:
		return nil
	}
	for i := range c.parts {
		if part := &c.parts[i]; !part.junction && part.column == column {
			if only != nil {
				return nil
			}
			only = part
		}
	}
	return only
}

// whole reports whether a plan walks over all rows.
func (p *plan) whole() bool {
	return slices.ContainsFunc(p.accesses, func(a access) bool { return a.bound == 0 })
}

// planOr returns the plan of a disjunction: those of its parts, one after the other, or a
// walk over all rows if a part needs that.
func (d *definition) planOr(parts []condition, order []int) plan {
	var all []access
	for i := range parts {
		p := d.planFor(&parts[i], nil)
		if p.whole() || len(all)+len(p.accesses) > maxAccesses {
			return plan{[]access{d.wholeAccess(order)}}
		}
		for _, a := range p.accesses {
			if i := slices.IndexFunc(all, func(b access) bool { return b.path == a.path }); i >= 0 {
				all[i] = all[i].joined(&a)
			} else {
				all = append(all, a)
			}
		}
	}
	return plan{all}
}

// joined returns an access to the keys of both.
func (a access) joined(b *access) access {
	spans := slices.Concat(a.spans, b.spans)
	slices.SortFunc(spans, func(x, y span) int { return bytes.Compare(x.lower, y.lower) })
	joined := access{path: a.path, bound: min(a.bound, b.bound)}
	for _, s := range spans {
		if n := len(joined.spans) - 1; n >= 0 && bytes.Compare(s.lower, joined.spans[n].upper) < 0 {
			if last := &joined.spans[n]; bytes.Compare(last.upper, s.upper) < 0 {
				*last = newSpan(last.lower, s.upper)
			}
			continue
		}
		joined.spans = append(joined.spans, s)
	}
	return joined
}

// wholeAccess is a walk over all rows, in the order that is wanted if an index has it.
func (d *definition) wholeAccess(order []int) access {
	best := d.accessOf(d.paths[0], nil)
	for _, p := range d.paths[1:] {
		if a := d.accessOf(p, nil); !p.building && a.better(&best, order) {
			best = a
		}
	}
	return best
}

// single reports whether the access finds one row at most.
func (a *access) single() bool { return a.path.unique && a.fixed >= a.path.own }

// better reports whether a is to be preferred to b: the one that finds a single row, then
// the one that fixes more columns, then the one that bounds more, then the one that has
// the order, then the one with fewer spans.
func (a *access) better(b *access, order []int) bool {
	rank := func(x *access) [5]int {
		var r [5]int
		if x.single() {
			r[0] = 1
		}
		r[1], r[2] = x.fixed, x.bound
		if order != nil && x.ordered(order) {
			r[3] = 1
		}
		r[4] = -len(x.spans)
		return r
	}
	ra, rb := rank(a), rank(b)
	return slices.Compare(ra[:], rb[:]) > 0
}

// ordered reports whether the access yields rows in the order of the columns.
func (a *access) ordered(order []int) bool {
	return slices.Equal(a.unfixed(order), a.unfixed(a.path.columns))
}

// unfixed returns the columns that the access does not fix, each once.
func (a *access) unfixed(columns []int) []int {
	var out []int
	for _, c := range columns {
		if !slices.Contains(a.path.columns[:a.fixed], c) && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// accessOf returns how the rows that meet the restrictions are found by a path.
func (d *definition) accessOf(p *path, restrictions map[int]*restriction) access {
	a := access{path: p}
	prefixes, nulls := [][]byte{p.prefix}, false
	for i, c := range p.columns {
		r := restrictions[c]
		own := i < p.own
		if r == nil || !own && p.unique { // the keys of unique entries end with their own columns
			break
		}
		if r.null {
			if p.primary() || !own {
				break
			}
			r, nulls = &restriction{equal: []Value{{}}}, true
		}
		if r.equal != nil && len(prefixes)*len(r.equal) <= maxSpans {
			var next [][]byte
			for _, prefix := range prefixes {
				for _, v := range r.equal {
					next = append(next, p.appendPathValue(bytes.Clone(prefix), i, v))
				}
			}
			if prefixes = next; len(r.equal) == 1 && a.fixed == i {
				a.fixed, a.values = i+1, append(a.values, r.equal[0])
			}
			a.bound = i + 1
			continue
		}
		if !r.ranged() && r.equal == nil {
			break
		}
		if r.equal != nil { // too many: the range around them
			r = &restriction{lower: bound{value: r.equal[0]}, upper: bound{r.equal[len(r.equal)-1], true}}
		}
		for _, prefix := range prefixes {
			a.addRange(i, prefix, r)
		}
		a.bound = i + 1
		return a
	}
	for _, prefix := range prefixes {
		s := newSpan(prefix, after(prefix))
		s.exact = p.unique && a.bound == p.own && !nulls
		a.spans = append(a.spans, s)
	}
	return a
}

// addRange adds the span of a range of the i-th column behind a prefix; null is in no
// range.
func (a *access) addRange(i int, prefix []byte, r *restriction) {
	p := a.path
	least := bytes.Clone(prefix)
	if !p.primary() && i < p.own {
		least = append(least, valueTag)
	}
	lower, upper := least, after(least)
	if len(least) == len(prefix) {
		upper = after(prefix)
	}
	if r.prefix != "" {
		begin := p.appendPathValue(bytes.Clone(prefix), i, Text(r.prefix))
		begin = begin[:len(begin)-2] // without the end of the string
		lower, upper = begin, after(begin)
	}
	if v := r.lower.value; !v.IsNull() {
		from := p.appendPathValue(bytes.Clone(prefix), i, v)
		if r.lower.after {
			from = after(from)
		}
		if bytes.Compare(from, lower) > 0 {
			lower = from
		}
	}
	if v := r.upper.value; !v.IsNull() {
		to := p.appendPathValue(bytes.Clone(prefix), i, v)
		if r.upper.after {
			to = after(to)
		}
		if bytes.Compare(to, upper) < 0 {
			upper = to
		}
	}
	if bytes.Compare(lower, upper) < 0 {
		a.spans = append(a.spans, newSpan(lower, upper))
	}
}

// describe says how rows are found.
func (d *definition) describe(p *plan, sorted bool) string {
	if len(p.accesses) == 0 {
		return "no row can pass the filter"
	}
	var all []string
	for _, a := range p.accesses {
		name := "index " + a.path.name
		if a.path.primary() {
			name = "primary key"
		}
		switch {
		case a.bound == 0:
			all = append(all, "all rows, by "+name)
		default:
			var columns []string
			for _, c := range a.path.columns[:a.bound] {
				columns = append(columns, d.names[c])
			}
			all = append(all, fmt.Sprintf("%s (%s), %d spans", name, strings.Join(columns, ", "), len(a.spans)))
		}
	}
	text := strings.Join(all, "; ")
	if sorted {
		text += "; then sorted"
	}
	return text
}
