package intent

import (
	"bytes"
	"sync"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// recent remembers the objects that were read or written last, so that the swap that
// mostly follows need not read again. It is only ever a guess: a swap at a revision
// that is not the newest fails, and then the object is read.
type recent struct {
	mu      sync.Mutex // guards what follows
	objects map[string]object
	bytes   int
}

// maxRecentBytes bounds keys and values of what is remembered.
const maxRecentBytes = 8 << 20

func sizeOf(key string, o object) int { return len(key) + len(o.plain.data) + 200 }

// put remembers the object of a key, and forgets it where there is none that is plain.
func (r *recent) put(key []byte, o object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.objects[string(key)]; ok {
		r.drop(string(key), old)
	}
	if o.plain == nil || len(o.plain.data) > maxRecentBytes/64 {
		return
	}
	if r.objects == nil {
		r.objects = map[string]object{}
	}
	for r.bytes > maxRecentBytes {
		for k, old := range r.objects { // an order of nobody's choosing
			r.drop(k, old)
			break
		}
	}
	copied := *o.plain // the bytes are the caller's of a get, or of a put
	copied.data = bytes.Clone(copied.data)
	o.plain = &copied
	r.objects[string(key)] = o
	r.bytes += sizeOf(string(key), o)
}

func (r *recent) drop(key string, o object) {
	delete(r.objects, key)
	r.bytes -= sizeOf(key, o)
}

// take returns what is remembered of a key, once.
func (r *recent) take(key []byte) (object, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, ok := r.objects[string(key)]
	if ok {
		r.drop(string(key), o)
	}
	return o, ok
}

// guess returns what is remembered of a key, if it is what is asked for: the revision,
// or anything where that is zero.
func (s *Store) guess(key []byte, want driver.Revision) (object, bool) {
	o, ok := s.recent.take(key)
	if !ok || !want.IsZero() && (!o.plain.alive() || o.plain.revision() != want) {
		return object{}, false
	}
	return o, true
}
