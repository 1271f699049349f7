package driver

import (
	"fmt"
	"strconv"

	"github.com/orbit-persistence/orbit/engine"
)

// Revision names one write of a key: a number, or a tag of the backend's making.
// Revisions of one key are equal if and only if they name the same write. The
// zero Revision names none. It is comparable, and takes no memory of its own.
type Revision struct {
	number uint64
	tag    string
}

// NumberRevision returns the revision of a backend that counts; n is not 0.
func NumberRevision(n uint64) Revision { return Revision{number: n} }

// TagRevision returns the revision of a backend that names writes; tag is not "".
func TagRevision(tag string) Revision { return Revision{tag: tag} }

// Number returns what NumberRevision was given, else 0.
func (r Revision) Number() uint64 { return r.number }

// Tag returns what TagRevision was given, else "".
func (r Revision) Tag() string { return r.tag }

// IsZero reports whether r names no write.
func (r Revision) IsZero() bool { return r == Revision{} }

// String returns a text that ParseRevision reads: a decimal number, or a tag in
// quotes; "" for the zero Revision.
func (r Revision) String() string {
	switch {
	case r.tag != "":
		return strconv.Quote(r.tag)
	case r.number != 0:
		return strconv.FormatUint(r.number, 10)
	}
	return ""
}

// ParseRevision reads what String writes; anything else is ErrInvalid.
func ParseRevision(s string) (Revision, error) {
	if s == "" {
		return Revision{}, nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil && n != 0 {
		return NumberRevision(n), nil
	}
	if s[0] == '"' {
		if tag, err := strconv.Unquote(s); err == nil && tag != "" {
			return TagRevision(tag), nil
		}
	}
	return Revision{}, fmt.Errorf("%w: revision %s is neither a number nor a quoted tag", engine.ErrInvalid, engine.QuoteKey([]byte(s)))
}
