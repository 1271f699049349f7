package check

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Never is the return time of an operation whose outcome is unknown.
const Never = math.MaxInt64

// Survival is what an acknowledged change survives, and what a crash takes: a
// crash of class c may take changes of a lower class than c, never others.
type Survival uint8

// The classes, from the weakest.
const (
	// Kept by nothing but an orderly close.
	Volatile Survival = iota
	// SurvivesExit: it outlives the process.
	SurvivesExit
	// SurvivesPower: it outlives a loss of power.
	SurvivesPower
)

// Change is one change of a batch.
type Change struct {
	Kind ChangeKind
	Key  string
	// Value is the value of a put, the upper bound of a delete-range.
	Value string
}

// ChangeKind is the kind of a change.
type ChangeKind uint8

// The kinds of changes. A DeleteRange removes the keys in [Key, Value).
const (
	Put ChangeKind = iota
	Delete
	DeleteRange
)

// Entry is a key and its value.
type Entry struct{ Key, Value string }

// Read is an observation: of one key, or of a range.
type Read struct {
	// Scan tells a range from a key.
	Scan bool
	// Key is the key that was read, or the first key of the range.
	Key string
	// Upper is the first key beyond the range; "" is open.
	Upper string
	// Limit is the number of entries after which a scan ended; 0 is none.
	Limit int
	// Entries is what was found. Of a key: one entry, or none.
	Entries []Entry
}

// Got is a read that found value under key.
func Got(key, value string) Read { return Read{Key: key, Entries: []Entry{{key, value}}} }

// Missed is a read that found nothing under key.
func Missed(key string) Read { return Read{Key: key} }

// covers reports whether a change of key would have shown in what the read saw.
func (r *Read) covers(key string) bool {
	if !r.Scan {
		return key == r.Key
	}
	if key < r.Key || r.Upper != "" && key >= r.Upper {
		return false
	}
	return r.Limit == 0 || len(r.Entries) < r.Limit || key <= r.Entries[len(r.Entries)-1].Key
}

// Operation is what one client did at one moment: what it read there, and what
// it changed then, all at once.
type Operation struct {
	Client int
	// Call and Return bound the moment, in monotonic nanoseconds. For a snapshot
	// they are those of taking it. Return is Never where the outcome is unknown.
	Call, Return int64
	Reads        []Read
	Changes      []Change
	// Sequence is the place in the commit order: of a write its own, of an
	// operation without changes that of the newest write it saw. 0 is not known.
	Sequence uint64
	// Survives is the class in which the operation was acknowledged. It holds for
	// every write before it in the commit order too. An operation without reads
	// and changes is a flush of all writes that had returned at its call.
	Survives Survival
}

// Crash is an end of the store and its recovery. A clean close and reopen is a
// Crash of class Volatile, which takes nothing.
type Crash struct {
	// At is the moment of it; operations called later belong to what was
	// recovered.
	At int64
	// Class says what it may take.
	Class Survival
	// Sequence is the newest write that was recovered, if Known.
	Sequence uint64
	Known    bool
}

// History is what clients did and saw. Its order does not matter.
type History struct {
	Operations []Operation
	// Crashes are in order of time.
	Crashes []Crash
}

// ErrUnknown: the checker could not decide within its means. It is no pass.
var ErrUnknown = errors.New("not decided")

// Violation is a proof that no correct store can have given the history. It is
// an error; other errors mean that the checker could not work.
type Violation struct {
	// What was promised, and what was seen instead.
	What string
	// Operations are the indices of those involved, in History.Operations.
	Operations []int
	// History is the operations as text, a line each.
	History string
}

// Error is What, and the operations on lines of their own.
func (v *Violation) Error() string {
	if v.History == "" {
		return v.What
	}
	return v.What + "\n" + v.History
}

// violation makes a Violation with its operations as text.
func (h *History) violation(ops []int, format string, args ...any) *Violation {
	var b strings.Builder
	for _, i := range ops {
		fmt.Fprintf(&b, "  [%d] %s\n", i, h.Operations[i].String())
	}
	return &Violation{What: fmt.Sprintf(format, args...), Operations: ops, History: strings.TrimSuffix(b.String(), "\n")}
}

// String shows the operation on one line.
func (o *Operation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "client %d %d..", o.Client, o.Call)
	if o.Return == Never {
		b.WriteString("unknown")
	} else {
		b.WriteString(strconv.FormatInt(o.Return, 10))
	}
	if o.Sequence != 0 {
		fmt.Fprintf(&b, " @%d", o.Sequence)
	}
	b.WriteString(": ")
	b.WriteString(describe(o.Reads, o.Changes))
	return b.String()
}

// longest is the number of entries of a scan that are shown.
const longest = 12

// describe shows what was read and changed on one line.
func describe(reads []Read, changes []Change) string {
	if len(reads) == 0 && len(changes) == 0 {
		return "flush"
	}
	var parts []string
	for i := range reads {
		parts = append(parts, reads[i].String())
	}
	for _, c := range changes {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, ", ")
}

// String shows the read on one line, long scans cut.
func (r *Read) String() string {
	if !r.Scan {
		if len(r.Entries) == 0 {
			return fmt.Sprintf("get %s: none", quote(r.Key))
		}
		return fmt.Sprintf("get %s: %s", quote(r.Key), quote(r.Entries[0].Value))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "scan [%s, %s)", quote(r.Key), quote(r.Upper))
	if r.Limit > 0 {
		fmt.Fprintf(&b, " limit %d", r.Limit)
	}
	b.WriteString(":")
	for i, e := range r.Entries {
		if i == longest {
			fmt.Fprintf(&b, " and %d more", len(r.Entries)-i)
			break
		}
		fmt.Fprintf(&b, " %s=%s", quote(e.Key), quote(e.Value))
	}
	return b.String()
}

// String shows the change on one line.
func (c Change) String() string {
	switch c.Kind {
	case Delete:
		return "delete " + quote(c.Key)
	case DeleteRange:
		return fmt.Sprintf("delete [%s, %s)", quote(c.Key), quote(c.Value))
	}
	return fmt.Sprintf("put %s=%s", quote(c.Key), quote(c.Value))
}

// quote shows plain names as they are, others quoted, all of them cut.
func quote(s string) string {
	const most = 48
	cut := ""
	if len(s) > most {
		s, cut = s[:most], "…"
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"',=`, r) }) < 0 {
		return s + cut
	}
	return strconv.Quote(s) + cut
}
