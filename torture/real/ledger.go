package real

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// roundBatches is how many batches a writer applies in a round at most.
const roundBatches = 2048

// vector is a position for each writer.
type vector [writers]uint64

// ledger is where the writers note what they do. It is memory that the child
// shares with its parent, so that it outlives the child, and costs no system call.
type ledger struct {
	file  *os.File
	bytes []byte
	*pages
}

// pages is the shared memory.
type pages struct {
	writers [writers]account
	begins  [writers][roundBatches][writers]atomic.Uint64
}

// account is what one writer notes: where it began in this round, and its newest
// batch that was begun, that was acknowledged, and that was acknowledged before a
// Sync began that succeeded.
type account struct {
	base, begun, acked, synced atomic.Uint64
	_                          [4]uint64 // a cache line each
}

// newLedger makes one, in a file without a name, which a child gets as it is.
func newLedger() (*ledger, error) {
	f, err := os.CreateTemp("", "orbit-ledger-")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Remove(f.Name()), f.Truncate(int64(unsafe.Sizeof(pages{})))); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return openLedger(f)
}

// openLedger maps the file, which it owns from then on.
func openLedger(f *os.File) (*ledger, error) {
	b, err := unix.Mmap(int(f.Fd()), 0, int(unsafe.Sizeof(pages{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map the ledger: %w", err), f.Close())
	}
	return &ledger{f, b, (*pages)(unsafe.Pointer(&b[0]))}, nil
}

func (l *ledger) close() error { return errors.Join(unix.Munmap(l.bytes), l.file.Close()) }

// reset begins a round in which each writer continues at its base.
func (l *ledger) reset(base vector) {
	for w := range l.writers {
		a := &l.writers[w]
		a.base.Store(base[w])
		a.begun.Store(base[w])
		a.acked.Store(base[w])
		a.synced.Store(0)
	}
}

// acks is what was acknowledged at one moment.
type acks struct{ acked, synced vector }

// acks returns what is acknowledged now.
func (l *ledger) acks() (a acks) {
	for w := range l.writers {
		// In this order: what a Sync covers was acknowledged before.
		a.synced[w] = l.writers[w].synced.Load()
		a.acked[w] = l.writers[w].acked.Load()
	}
	return a
}

// acked returns the newest batches that were acknowledged.
func (l *ledger) acked() (v vector) {
	for w := range v {
		v[w] = l.writers[w].acked.Load()
	}
	return v
}

// count returns how many batches were acknowledged in this round.
func (l *ledger) count() (n uint64) {
	for w := range l.writers {
		n += l.writers[w].acked.Load() - l.writers[w].base.Load()
	}
	return n
}

// begin notes a batch before it is applied, with what was acknowledged by then:
// all of that comes before it in the commit order.
func (l *ledger) begin(w int, position uint64) {
	a := &l.writers[w]
	at := &l.begins[w][position-a.base.Load()-1]
	for v, n := range l.acked() {
		at[v].Store(n)
	}
	a.begun.Store(position)
}

// before returns what begin noted.
func (l *ledger) before(w int, position uint64) (v vector) {
	at := &l.begins[w][position-l.writers[w].base.Load()-1]
	for i := range v {
		v[i] = at[i].Load()
	}
	return v
}
