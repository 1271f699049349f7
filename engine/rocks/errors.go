//go:build rocksdb

package rocks

import (
	"errors"
	"strings"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
)

// rocksError is a Status of RocksDB's, as grocksdb and RocksDB's C interface
// give it: its text. kind is the engine's error that it amounts to, nil if none,
// and errno what the operating system said, 0 if it was not asked.
type rocksError struct {
	text  string
	kind  error
	errno syscall.Errno
	// damage: RocksDB refuses writes after such an error, until it is opened again.
	damage bool
}

func (e *rocksError) Error() string { return e.text }

func (e *rocksError) Unwrap() []error {
	var chain []error
	if e.kind != nil {
		chain = append(chain, e.kind)
	}
	if e.errno != 0 {
		chain = append(chain, e.errno)
	}
	return chain
}

// translate is statusError for an error of grocksdb's.
func translate(err error) error {
	if err == nil {
		return nil
	}
	return statusError(err.Error())
}

// statusError reads the text of a Status: the name of its code, after that the
// names of files and places, last the message of the operating system.
func statusError(text string) *rocksError {
	e := &rocksError{text: "rocksdb: " + text, errno: errnoOf(text)}
	has := func(prefix string) bool { return strings.HasPrefix(text, prefix) }
	switch {
	case has("IO error: lock "), has("IO error: While lock file"):
		e.kind = engine.ErrLocked
	case has("Corruption"):
		e.kind, e.damage = engine.ErrCorrupt, true
	case e.errno == syscall.ENOSPC || e.errno == syscall.EDQUOT || strings.Contains(text, "Space limit reached"):
		e.kind = engine.ErrNoSpace
		// RocksDB recovers by itself from a table for which there was no room, not
		// from a log that has a record in part; and after a failed flush it is
		// open what the device has.
		e.damage = strings.Contains(text, ".log: ") || strings.Contains(text, "While fdatasync") || strings.Contains(text, "While fsync")
	case has("IO error"):
		e.damage = true
	case has("Invalid argument"):
		e.kind = engine.ErrInvalid
	case has("Not implemented"):
		e.kind = engine.ErrUnsupported
	}
	return e
}

// errnoOf returns the error of the operating system whose message ends text.
func errnoOf(text string) syscall.Errno {
	at := strings.LastIndex(text, ": ")
	if at < 0 {
		return 0
	}
	// RocksDB puts the name of the sub-code before the place, and no message
	// after it, where there was no call.
	for _, part := range []string{text[at+2:], between(text, "IO error: ", ": ")} {
		if no, ok := errnos[strings.ToLower(part)]; ok {
			return no
		}
	}
	return 0
}

// between returns what stands in text after the prefix and before the next sep.
func between(text, prefix, sep string) string {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, sep)
	return rest
}

// errnos are the messages of the operating system, which Go writes as libc does
// but for the capital.
var errnos = func() map[string]syscall.Errno {
	m := map[string]syscall.Errno{}
	for no := syscall.Errno(1); no < 134; no++ {
		m[strings.ToLower(no.Error())] = no
	}
	return m
}()

// damaging reports whether RocksDB refuses writes after err.
func damaging(err error) bool {
	var e *rocksError
	return errors.As(err, &e) && e.damage
}
