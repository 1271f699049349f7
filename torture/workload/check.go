package workload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"

	"github.com/orbit-persistence/orbit/engine"
)

// Fault is a kind of violation. Shrinking keeps to one kind.
type Fault string

// The kinds of violations.
const (
	// Failed: an operation returned an error although nothing was wrong.
	Failed Fault = "operation failed"
	// NotOpened: the store does not open.
	NotOpened Fault = "store does not open"
	// Lost: what was acknowledged is gone.
	Lost Fault = "acknowledged batches lost"
	// Ahead: the store shows a batch that was not begun, or is over.
	Ahead Fault = "batch that cannot be there"
	// Wrong: the store shows something that is the state after no batch.
	Wrong Fault = "state of no commit"
	// Disagrees: two ways to read one state differ.
	Disagrees Fault = "reads disagree"
	// SequenceBack: the sequence went back.
	SequenceBack Fault = "sequence went back"
	// NotLocked: a second opener was let in.
	NotLocked Fault = "second opener let in"
	// BadCopy: a checkpoint does not hold what it should.
	BadCopy Fault = "bad checkpoint"
	// BadSnapshot: a snapshot changed.
	BadSnapshot Fault = "snapshot changed"
	// WrongError: an error is not of the kind that the contract names.
	WrongError Fault = "error of the wrong kind"
	// NotRefused: a write was taken after a flush had failed.
	NotRefused Fault = "write taken after a failed flush"
	// NotResumed: the store does not go on once there is room again.
	NotResumed Fault = "no write although there is room again"
	// HalfApplied: a batch that was refused is there.
	HalfApplied Fault = "refused batch applied"
	// Panicked: the engine panicked.
	Panicked Fault = "panic"
	// Hung: the engine did not return.
	Hung Fault = "hang"
)

// Violation is a promise that an engine broke.
type Violation struct {
	Fault Fault
	// Text says what was promised and what was found.
	Text string
	// Err is the engine's error, if there was one.
	Err error
	// Stack is that of a panic.
	Stack string
}

// Error returns the fault and the text.
func (v *Violation) Error() string {
	s := string(v.Fault) + ": " + v.Text
	if v.Err != nil {
		s += ": " + v.Err.Error()
	}
	return s
}

// Unwrap returns the engine's error.
func (v *Violation) Unwrap() error { return v.Err }

func violation(f Fault, err error, format string, args ...any) error {
	return &Violation{Fault: f, Text: fmt.Sprintf(format, args...), Err: err}
}

// FaultOf returns the kind of a violation, "" for any other error.
func FaultOf(err error) Fault {
	var v *Violation
	if errors.As(err, &v) {
		return v.Fault
	}
	return ""
}

// Guard calls f and makes a violation of its panic.
func Guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Violation{Fault: Panicked, Text: fmt.Sprint(p), Stack: string(debug.Stack())}
		}
	}()
	return f()
}

// Check reads all that r shows and returns the state that it is. It is a
// *Violation if that is none which a accepts, if the marker names another one
// than the content, or if reading forwards, backwards and by key differ.
func (h *History) Check(r engine.Reader, a Accept) (State, error) {
	number, err := Newest(r)
	if err != nil {
		return State{}, err
	}
	s, i := h.lookup(a, number)
	if i == len(h.States) {
		return State{}, violation(Wrong, nil, "the marker names batch %d, which was never applied", number)
	}
	if err := Same(r, s.Entries); err != nil {
		return State{}, err
	}
	switch {
	case i < 0 || a.Least <= i && i <= a.Most:
		return s, nil
	case i < a.Least || a.Least > a.Most:
		return s, violation(Lost, nil, "the store ends with batch %d; what was acknowledged ends with %s", number, h.least(a))
	}
	return s, violation(Ahead, nil, "the store ends with batch %d; only %d was begun", number, h.States[a.Most].Number)
}

// least names the least that a accepts.
func (h *History) least(a Accept) string {
	if a.Least <= a.Most {
		return strconv.FormatUint(h.States[a.Least].Number, 10)
	}
	if len(a.Also) == 0 {
		return "a later one, for which nothing was written"
	}
	return fmt.Sprintf("%d, written after recovery", a.Also[0].Number)
}

// Newest returns the number of the newest batch that r shows, by the marker. Its
// error is a *Violation.
func Newest(r engine.Reader) (uint64, error) {
	value, err := get(r, MarkerKey, nil)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, violation(Failed, err, "get the marker")
	case len(value) != 8:
		return 0, violation(Wrong, nil, "the marker has %d bytes", len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

// absent are keys that no workload writes.
var absent = []string{"\x00", "a\x00", "c\x00nothing", "zzz", "~zzz"}

// get is Get, with a key that is overwritten after it.
func get(r engine.Reader, key string, dst []byte) ([]byte, error) {
	k := []byte(key)
	value, err := r.Get(k, dst)
	Garble(k)
	return value, err
}

// iterate makes an iterator over everything, every other time by bounds, which
// are overwritten then: one that keeps them shows nothing.
func iterate(r engine.Reader, bounded bool) (engine.Iterator, error) {
	if !bounded {
		return r.NewIterator(engine.IterOptions{})
	}
	o := engine.IterOptions{Lower: []byte{0}, Upper: []byte{0xff, 0xff}}
	it, err := r.NewIterator(o)
	Garble(o.Lower, o.Upper)
	return it, err
}

// Same reads r forwards, backwards and by key. It is a *Violation if that is not
// want, each time.
func Same(r engine.Reader, want []Entry) error {
	it, err := iterate(r, len(want)%2 == 0)
	if err != nil {
		return violation(Failed, err, "iterate")
	}
	err = sameOrder(it, want)
	if closeErr := it.Close(); err == nil && closeErr != nil {
		err = violation(Failed, closeErr, "close the iterator")
	}
	if err != nil {
		return err
	}
	var value []byte
	for _, e := range want {
		switch value, err = get(r, e.Key, value[:0]); {
		case err != nil && !errors.Is(err, engine.ErrNotFound):
			return violation(Failed, err, "get %q, which the iterator shows", e.Key)
		case err != nil:
			return violation(Disagrees, err, "get %q, which the iterator shows", e.Key)
		case string(value) != e.Value:
			return violation(Disagrees, nil, "get %q: %s, the iterator shows %s", e.Key, brief(string(value)), brief(e.Value))
		}
	}
	for _, key := range absent {
		switch _, err := get(r, key, nil); {
		case err == nil:
			return violation(Disagrees, nil, "get %q, which was never written, is not ErrNotFound", key)
		case !errors.Is(err, engine.ErrNotFound):
			return violation(Failed, err, "get %q, which was never written", key)
		}
	}
	return nil
}

func sameOrder(it engine.Iterator, want []Entry) error {
	i := 0
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		if err != nil {
			return violation(Failed, err, "read the value of %q", it.Key())
		}
		key := it.Key()
		if i == len(want) || string(key) != want[i].Key {
			expected := "the end"
			if i < len(want) {
				expected = strconv.Quote(want[i].Key)
			}
			return violation(Wrong, nil, "forwards there is %q in place of %s", key, expected)
		}
		if string(value) != want[i].Value {
			return violation(Wrong, nil, "%q is %s, and should be %s", key, brief(string(value)), brief(want[i].Value))
		}
		i++
	}
	if err := it.Err(); err != nil {
		return violation(Failed, err, "iterate forwards after %d entries", i)
	}
	if i < len(want) {
		return violation(Wrong, nil, "forwards there is the end in place of %q", want[i].Key)
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		i--
		value, err := it.Value()
		if err != nil {
			return violation(Failed, err, "read the value of %q backwards", it.Key())
		}
		if i < 0 || string(it.Key()) != want[i].Key || string(value) != want[i].Value {
			return violation(Disagrees, nil, "backwards there is %q, not what stood there forwards", it.Key())
		}
	}
	if err := it.Err(); err != nil {
		return violation(Failed, err, "iterate backwards, %d entries before the first", i)
	}
	if i > 0 {
		return violation(Disagrees, nil, "backwards %d entries are missing", i)
	}
	return nil
}

// brief writes a value for a message.
func brief(value string) string {
	if len(value) <= 16 {
		return fmt.Sprintf("%d bytes %x", len(value), value)
	}
	return fmt.Sprintf("%d bytes %x…", len(value), value[:16])
}
