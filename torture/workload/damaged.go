package workload

import (
	"errors"

	"github.com/orbit-persistence/orbit/engine"
)

// Readable reads r, which may fail, in all ways that Same does. Each read must
// give what want has, or an error for which excused is true; ErrNotFound is never
// excused for a key that is there. It returns how many reads were excused. Its
// error is a *Violation.
func Readable(r engine.Reader, want []Entry, excused func(error) bool) (int, error) {
	failed := 0
	excuse := func(err error, format string, args ...any) error {
		if errors.Is(err, engine.ErrNotFound) || !excused(err) {
			return violation(WrongError, err, format, args...)
		}
		failed++
		return nil
	}
	for _, e := range want {
		value, err := get(r, e.Key, nil)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			return failed, violation(Wrong, err, "get %q, which is there", e.Key)
		case err != nil:
			if err := excuse(err, "get %q", e.Key); err != nil {
				return failed, err
			}
		case string(value) != e.Value:
			return failed, violation(Wrong, nil, "get %q: %s, and should be %s", e.Key, brief(string(value)), brief(e.Value))
		}
	}
	for _, key := range absent {
		switch value, err := get(r, key, nil); {
		case err == nil:
			return failed, violation(Wrong, nil, "get %q, which was never written: %s", key, brief(string(value)))
		case !errors.Is(err, engine.ErrNotFound):
			if err := excuse(err, "get %q", key); err != nil {
				return failed, err
			}
		}
	}
	for _, forward := range []bool{true, false} {
		it, err := iterate(r, forward)
		if err != nil {
			if err := excuse(err, "iterate"); err != nil {
				return failed, err
			}
			continue
		}
		shown, err := walk(it, want, forward, excuse)
		closeErr := it.Close()
		if err != nil {
			return failed, err
		}
		if closeErr != nil {
			if err := excuse(closeErr, "close an iterator after %d entries", shown); err != nil {
				return failed, err
			}
		}
	}
	return failed, nil
}

// walk goes through an iterator in one direction, and returns how many entries it
// showed before the end or an error.
func walk(it engine.Iterator, want []Entry, forward bool, excuse func(error, string, ...any) error) (int, error) {
	first, next := it.First, it.Next
	if !forward {
		first, next = it.Last, it.Prev
	}
	n := 0
	for ok := first(); ok; ok = next() {
		if n == len(want) {
			return n, violation(Wrong, nil, "the iterator shows %q behind the last entry", it.Key())
		}
		e := want[n]
		if !forward {
			e = want[len(want)-1-n]
		}
		n++
		if string(it.Key()) != e.Key {
			return n, violation(Wrong, nil, "the iterator shows %q in place of %q", it.Key(), e.Key)
		}
		value, err := it.Value()
		if err != nil {
			if err := excuse(err, "value of %q", e.Key); err != nil {
				return n, err
			}
		} else if string(value) != e.Value {
			return n, violation(Wrong, nil, "%q is %s, and should be %s", e.Key, brief(string(value)), brief(e.Value))
		}
	}
	if err := it.Err(); err != nil {
		return n, excuse(err, "iterate over %d entries", n)
	}
	if n < len(want) {
		return n, violation(Wrong, nil, "the iterator ends after %d of %d entries without an error", n, len(want))
	}
	return n, nil
}
