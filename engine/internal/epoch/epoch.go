// Package epoch tells when nobody can be reading any more what was taken out of
// sight: readers announce themselves at the price of two atomic additions to a
// line of their own, and wait for nobody.
//
// It is sleepable read-copy-update: McKenney, "Sleepable RCU", 2006. A reader
// counts itself in one of two sets of counters. A grace period has passed when the
// sets were exchanged twice, and each was empty once after it was left; the second
// time is for readers who had looked which set counts, but had not counted
// themselves yet.
package epoch

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

const stripes = 32

// Domain is a set of readers, and of what they may be reading. Its zero value is
// ready.
type Domain struct {
	stripes [stripes]stripe
	parity  atomic.Uint32

	// mu guards what follows.
	mu sync.Mutex
	// next waits for a grace period to begin, current for the one under way to end.
	next, current []func()
	// flips is how often the sets were exchanged in the period under way.
	flips int
}

// stripe has two lines of the cache for itself: processors fetch them in pairs.
type stripe struct {
	counts [2]atomic.Int64
	_      [112]byte
}

// Token is what Enter returns for Exit.
type Token uint32

// Enter begins a read, which is to be short: what is in sight now, and comes to be
// retired, stays until Exit.
func (d *Domain) Enter() Token {
	// Goroutines have stacks of their own, at least 2 KiB apart.
	var here byte
	i := uint32(uintptr(unsafe.Pointer(&here))>>11) % stripes
	p := d.parity.Load() & 1
	d.stripes[i].counts[p].Add(1)
	return Token(i<<1 | p)
}

// Exit ends a read.
func (d *Domain) Exit(t Token) { d.stripes[t>>1].counts[t&1].Add(-1) }

// Retire calls free when everyone has left who may have what it frees, which must be
// out of sight already: in a later Retire, Poll or Wait, of whoever makes it. free must
// not call the domain.
func (d *Domain) Retire(free func()) {
	d.mu.Lock()
	d.next = append(d.next, free)
	d.mu.Unlock()
	d.Poll()
}

// Poll frees what can be freed by now, without waiting.
func (d *Domain) Poll() {
	d.mu.Lock()
	ready := d.advance(nil)
	d.mu.Unlock()
	for _, free := range ready {
		free()
	}
}

// Wait returns when all that was retired before the call is freed. It must not be
// called between Enter and Exit.
func (d *Domain) Wait() {
	for {
		d.mu.Lock()
		ready := d.advance(nil)
		idle := len(d.next) == 0 && len(d.current) == 0
		d.mu.Unlock()
		for _, free := range ready {
			free()
		}
		if idle {
			return
		}
		runtime.Gosched()
	}
}

// advance takes the period under way as far as it goes now, and returns what may be
// freed. Under mu.
func (d *Domain) advance(ready []func()) []func() {
	for {
		if len(d.current) == 0 {
			if len(d.next) == 0 {
				return ready
			}
			d.current, d.next = d.next, nil
			d.flips = 1
			d.parity.Add(1)
		}
		if !d.empty((d.parity.Load() - 1) & 1) {
			return ready
		}
		if d.flips == 1 {
			d.flips = 2
			d.parity.Add(1)
			continue
		}
		ready = append(ready, d.current...)
		d.current = nil
	}
}

// empty reports whether nobody is counted in a set.
func (d *Domain) empty(set uint32) bool {
	var n int64
	for i := range d.stripes {
		n += d.stripes[i].counts[set].Load()
	}
	return n == 0
}
