package engine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

func TestKeyError(t *testing.T) {
	if err := engine.KeyError("get", []byte("k"), nil); err != nil {
		t.Errorf("of no error: %v", err)
	}
	if err := engine.KeyError("get", []byte("k"), engine.ErrNotFound); err != engine.ErrNotFound {
		t.Errorf("a miss is not bare: %v", err)
	}
	// ErrNotFound within another error is no miss of this key.
	if err := engine.KeyError("get", []byte("k"), fmt.Errorf("family 3: %w", engine.ErrNotFound)); err.Error() != `get "k": family 3: not found` || !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a wrapped miss: %v", err)
	}
	key := []byte("key\x00\xff")
	err := engine.KeyError("put", key, fmt.Errorf("%w: %w", engine.ErrNoSpace, fs.ErrPermission))
	key[0] = 'x' // the caller's again
	if want := `put "key\x00\xff": no space left: permission denied`; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if !errors.Is(err, engine.ErrNoSpace) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v has lost its kinds", err)
	}
}

func TestQuoteKeyIsCut(t *testing.T) {
	for _, c := range []struct{ key, want string }{
		{"", `""`},
		{"plain", `"plain"`},
		{"\x00\"\n\xff", `"\x00\"\n\xff"`},
		{"ü", `"ü"`},
		{strings.Repeat("k", 64), `"` + strings.Repeat("k", 64) + `"`},
		{strings.Repeat("k", 65), `"` + strings.Repeat("k", 64) + `"…`},
		{strings.Repeat("k", 63) + "ü", `"` + strings.Repeat("k", 63) + `\xc3"…`}, // cut within a letter
		{strings.Repeat("k", 1<<20), `"` + strings.Repeat("k", 64) + `"…`},
	} {
		if got := engine.QuoteKey([]byte(c.key)); got != c.want {
			t.Errorf("%d bytes: got %s, want %s", len(c.key), got, c.want)
		}
		// An error keeps only what it shows of the key.
		err := engine.KeyError("get", []byte(c.key), engine.ErrCorrupt)
		if want := "get " + c.want + ": corrupt"; err.Error() != want {
			t.Errorf("%d bytes: error %q, want %q", len(c.key), err, want)
		}
	}
}
