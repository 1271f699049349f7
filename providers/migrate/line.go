package migrate

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// formatVersion is that of the file.
const formatVersion = 1

// header is the first line of an export.
type header struct {
	Version int    `json:"orbit_export"`
	ID      string `json:"id"`
	// Backend is what it was exported from; Created is when.
	Backend string    `json:"backend"`
	Created time.Time `json:"created"`
}

// trailer is the last line.
type trailer struct {
	Version int `json:"orbit_export_end"`
	Tally
	SHA256 string `json:"sha256"`
}

// trailerStart begins the last line, and no other.
var trailerStart = []byte(`{"orbit_export_end":`)

// appendEntry appends the line of an entry.
func appendEntry(dst []byte, e *providers.Entry) []byte {
	dst = appendBytes(append(dst, '{'), "key", e.Key)
	dst = appendBytes(append(dst, ','), "value", e.Value)
	if !e.ExpiresAt.IsZero() {
		dst = append(dst, `,"expires":"`...)
		dst = e.ExpiresAt.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	return append(dst, '}', '\n')
}

// appendBytes appends a name and bytes: as text if that is what they are.
func appendBytes(dst []byte, name string, p []byte) []byte {
	dst = append(append(dst, '"'), name...)
	if !utf8.Valid(p) {
		dst = base64.StdEncoding.AppendEncode(append(dst, `64":"`...), p)
		return append(dst, '"')
	}
	dst = append(dst, `":"`...)
	from := 0
	for i, b := range p {
		if b >= 0x20 && b != '"' && b != '\\' {
			continue
		}
		dst = append(dst, p[from:i]...)
		from = i + 1
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			const digits = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', digits[b>>4], digits[b&15])
		}
	}
	return append(append(dst, p[from:]...), '"')
}

// parseEntry reads a line of an entry. Lines as appendEntry writes them, without escapes,
// take no JSON decoder; the entry may alias the line.
func parseEntry(line []byte) (providers.Entry, error) {
	if e, ok := parsePlain(line); ok {
		return e, nil
	}
	return parseJSON(line)
}

func parsePlain(line []byte) (e providers.Entry, ok bool) {
	rest := line
	if e.Key, rest, ok = cutField(rest, `{"key`); !ok || len(e.Key) == 0 {
		return e, false
	}
	if e.Value, rest, ok = cutField(rest, `,"value`); !ok {
		return e, false
	}
	if expires, found := bytes.CutPrefix(rest, []byte(`,"expires":"`)); found {
		text, after, ok := cutText(expires)
		if !ok || e.ExpiresAt.UnmarshalText(text) != nil || e.ExpiresAt.IsZero() {
			return e, false
		}
		e.ExpiresAt, rest = e.ExpiresAt.UTC(), after
	}
	return e, len(rest) == 1 && rest[0] == '}' && utf8.Valid(line)
}

// cutField cuts off a field, of text or of base64.
func cutField(p []byte, start string) (value, rest []byte, ok bool) {
	if len(p) < len(start)+3 || string(p[:len(start)]) != start {
		return nil, nil, false
	}
	p = p[len(start):]
	packed := p[0] == '6' && p[1] == '4'
	if packed {
		p = p[2:]
	}
	if len(p) < 3 || string(p[:3]) != `":"` {
		return nil, nil, false
	}
	if value, rest, ok = cutText(p[3:]); !ok || !packed {
		return value, rest, ok
	}
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(value))) // the line stays as it is
	n, err := base64.StdEncoding.Decode(decoded, value)
	return decoded[:n:n], rest, err == nil
}

// cutText cuts off text up to its quote.
func cutText(p []byte) (text, rest []byte, ok bool) {
	end := bytes.IndexByte(p, '"')
	if end < 0 {
		return nil, nil, false
	}
	for _, b := range p[:end] {
		if b < 0x20 || b == '\\' {
			return nil, nil, false
		}
	}
	return p[:end:end], p[end+1:], true
}

// parsed is a line as JSON has it.
type parsed struct {
	Key     *string    `json:"key"`
	Key64   *[]byte    `json:"key64"`
	Value   *string    `json:"value"`
	Value64 *[]byte    `json:"value64"`
	Expires *time.Time `json:"expires"`
}

func parseJSON(line []byte) (e providers.Entry, err error) {
	var p parsed
	if err := strict(line, &p); err != nil {
		return e, err
	}
	switch {
	case p.Key != nil && p.Key64 == nil:
		e.Key = []byte(*p.Key)
	case p.Key64 != nil && p.Key == nil:
		e.Key = *p.Key64
	}
	if len(e.Key) == 0 {
		return e, fmt.Errorf("%w: it needs either key or key64, with a byte at least", driver.ErrCorrupt)
	}
	switch {
	case p.Value != nil && p.Value64 == nil:
		e.Value = []byte(*p.Value)
	case p.Value64 != nil && p.Value == nil:
		e.Value = *p.Value64
	default:
		return e, fmt.Errorf("%w: it needs either value or value64", driver.ErrCorrupt)
	}
	if p.Expires != nil {
		if p.Expires.IsZero() {
			return e, fmt.Errorf("%w: it expires in the year 1", driver.ErrCorrupt)
		}
		e.ExpiresAt = p.Expires.UTC()
	}
	return e, nil
}

// strict decodes one object, and refuses what it does not know, and what JSON decoders
// mend in silence: bytes that are not UTF-8.
func strict(line []byte, into any) error {
	if !utf8.Valid(line) {
		return fmt.Errorf("%w: it is not UTF-8", driver.ErrCorrupt)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it is cut")
		}
		return fmt.Errorf("%w: %w", driver.ErrCorrupt, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the object", driver.ErrCorrupt)
	}
	return nil
}
