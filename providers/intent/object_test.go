package intent

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// FuzzDecodeObject: nothing panics, what decodes is encoded as it was, and all else is
// ErrCorrupt.
func FuzzDecodeObject(f *testing.F) {
	w := &driver.Write{Value: []byte("value"), Fence: 7}
	v := newValue(w, 3)
	f.Add(encodePlain(v))
	f.Add(encodePlain(newValue(&driver.Write{Delete: true}, 3)))
	f.Add(encodeIntent(&pending{tx: newID(time.Unix(1, 2)), timeout: 5, before: v, after: newValue(w, 0)}))
	f.Add(encodeIntent(&pending{timeout: 1, after: v}))
	f.Add(encodeIntent(&pending{timeout: 1, before: v}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, in, err := decodeObject(data)
		switch {
		case err != nil:
			if !errors.Is(err, driver.ErrCorrupt) {
				t.Fatal(err)
			}
		case plain != nil:
			if !bytes.Equal(encodePlain(plain), data) {
				t.Fatalf("%x becomes %x", data, encodePlain(plain))
			}
		default:
			if !bytes.Equal(encodeIntent(in), data) {
				t.Fatalf("%x becomes %x", data, encodeIntent(in))
			}
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(encodeRecord(&record{status: committed, timeout: 3, keys: [][]byte{[]byte("a"), {}}}))
	f.Add(encodeRecord(&record{status: aborted}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err != nil {
			if !errors.Is(err, driver.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(encodeRecord(r), data) {
			t.Fatalf("%x becomes %x", data, encodeRecord(r))
		}
	})
}
