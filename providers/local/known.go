package local

import (
	"sync"
	"sync/atomic"
)

// known remembers the newest revisions of keys that were written last, or read many
// at once, so that a commit need not read again what it was told. A key is remembered
// by the hash of its lock, 64 bits with a random seed.
//
// Who writes holds the lock of the key (see locks), begins and ends by forgetting it,
// and notes the new revision when that is applied. Who reads notes what it has read,
// unless a write of a key of the same lock has begun or ended since it began to read:
// a note may be old only while that write is under way, and who asks holds the lock,
// so that it is not.
type known struct {
	parts [stripes]part
}

// slots is how many keys of each lock are remembered; 2 MiB in all.
const slots = 256

type part struct {
	turns atomic.Uint64 // counts the beginnings and the ends of writes

	mu    sync.Mutex // guards what follows
	slots [slots]slot
}

type slot struct {
	hash     uint64
	revision uint64 // 0: there is no row
	expires  int64
	used     bool
}

// reading returns what is to be passed to note after the read that begins now.
func (k *known) reading(h uint64) uint64 { return k.parts[h%stripes].turns.Load() }

// note remembers what a read has found that began when reading returned turns.
func (k *known) note(h, turns uint64, r *row) {
	p := &k.parts[h%stripes]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turns.Load() == turns {
		p.slots[h/stripes%slots] = slot{h, r.revision, r.expires, true}
	}
}

// forget begins a write of a key, or ends one whose outcome is not to be remembered.
func (k *known) forget(h uint64) {
	p := &k.parts[h%stripes]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turns.Add(1)
	if s := &p.slots[h/stripes%slots]; s.hash == h {
		s.used = false
	}
}

// written ends a write of a key and remembers what that has made of it; revision 0, of
// one that was deleted.
func (k *known) written(h uint64, r row) {
	p := &k.parts[h%stripes]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turns.Add(1)
	p.slots[h/stripes%slots] = slot{h, r.revision, r.expires, true}
}

// of returns what is known of a key whose lock is held.
func (k *known) of(h uint64) (r row, ok bool) {
	p := &k.parts[h%stripes]
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[h/stripes%slots]
	return row{revision: s.revision, expires: s.expires}, s.used && s.hash == h
}
