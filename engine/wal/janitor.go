package wal

import (
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// janitor is the goroutine that has a slot ready before it is needed, removes those that
// are too many, and measures again how to flush. It begins with Open and ends with Close.
type janitor struct {
	wake  chan struct{}
	quit  chan struct{}
	ended chan struct{}
}

func (j *janitor) start(l *Log) {
	j.wake, j.quit, j.ended = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go j.run(l)
}

func (j *janitor) run(l *Log) {
	defer close(j.ended)
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	var flushes uint64
	for {
		select {
		case <-j.quit:
			return
		case <-j.wake:
			l.prepare()
			l.writeBack()
			l.tidy()
		case <-tick.C:
			l.mu.Lock()
			idle := l.stats.Flushes == flushes
			flushes = l.stats.Flushes
			l.mu.Unlock()
			if !idle && l.options.Flush == Probe {
				l.probeAgain()
			}
		}
	}
}

func (j *janitor) stop() {
	if j.quit != nil {
		close(j.quit)
		<-j.ended
	}
}

// kick wakes the janitor. Under mu.
func (l *Log) kick() {
	if l.janitor.wake == nil {
		return
	}
	select {
	case l.janitor.wake <- struct{}{}:
	default:
	}
}

// prepare has a slot ready for the segment after the current one: it makes one, or flushes
// what the page cache still holds of the one that will be taken, which takes longer than a
// commit should wait. Where that cannot be done, whoever needs it will try again, and say so.
func (l *Log) prepare() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.failed != nil || l.making || l.joining {
		return // a sink that joins would not have the slot
	}
	if i := l.largestFree(0); i >= 0 && l.free[i].dirty {
		s := l.free[i]
		l.free = append(l.free[:i], l.free[i+1:]...)
		s.dirty = !l.cleanSlot(s)
		l.free = append(l.free, s)
		return
	}
	// A log that never fills its first segment needs no second. One in bulk may fill a
	// segment in less time than it takes to make a slot.
	ahead := 1
	switch {
	case len(l.segments) < 2 && l.number < 2:
		ahead = 0
	case l.bulk:
		ahead = min(2, l.options.SpareSlots)
	}
	for len(l.free) < ahead && !l.closed && l.failed == nil {
		s, err := l.newSlot(l.nextBytes(), true)
		if err != nil {
			return
		}
		l.free = append(l.free, s)
	}
}

// stretch is a part of a slot that is in the page cache.
type stretch struct {
	slot     int
	from, to int64
}

// storedBytes is how much is in the page cache before the kernel is asked to write it back.
const storedBytes = 4 << 20

// noteStored has what was stored written back early where the segments stay: it would be
// later, and then a flush waits for all of it. Elsewhere many a segment has been given back
// by then. Under mu.
func (l *Log) noteStored(s *segment, to int64) {
	if l.options.Retain != nil && l.janitor.wake != nil && to > s.writtenTo {
		l.stored = append(l.stored, stretch{s.slot.id, s.writtenTo, to})
		s.writtenTo = to
		l.kick()
	}
}

// writeBack asks the kernel to begin to write what was stored. Where it does not, the next
// flush does, and tells why not.
func (l *Log) writeBack() {
	l.mu.Lock()
	stored, live := l.stored, l.inSync()
	l.stored = nil
	l.mu.Unlock()
	for _, w := range stored {
		for _, i := range live {
			_ = l.timed(i, timesFor(w.to-w.from), func() error {
				return inSlot(l.fs, l.sinks[i].dir, w.slot, func(f vfs.File) error { return f.Writeback(w.from, w.to-w.from) })
			})
		}
	}
}

// inSlot calls do with the file of a slot.
func inSlot(fsys vfs.FS, dir string, id int, do func(f vfs.File) error) error {
	f, err := fsys.Open(filepath.Join(dir, segmentName(id)), 0)
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Close())
}

// tidy removes the slots that are too many. The next Release tells if it cannot.
func (l *Log) tidy() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.failed != nil {
		return
	}
	if err := l.removeSurplus(true); err != nil {
		l.notRemoved = err
	}
}

// cleanSlot flushes what the page cache holds of a slot that nobody else has, and reports
// whether it did. A sink where the flush fails is lost. Under mu, which is released meanwhile.
func (l *Log) cleanSlot(s slot) bool {
	live := l.inSync()
	errs := make([]error, len(live))
	l.making = true
	l.mu.Unlock()
	for k, i := range live {
		errs[k] = l.timed(i, 5, func() error { return flushSlot(l.fs, l.sinks[i].dir, s) })
	}
	l.mu.Lock()
	l.making = false
	l.settled.Broadcast()
	clean := true
	for k, i := range live {
		var flush flushError
		switch {
		case errs[k] == nil:
		case !errors.As(errs[k], &flush) && (harmless(errs[k]) || len(live) == 1):
			clean = false
		default:
			l.lose(i, errs[k], errors.Is(errs[k], errHung))
		}
	}
	return clean
}

func flushSlot(fsys vfs.FS, dir string, s slot) error {
	return inSlot(fsys, dir, s.id, func(f vfs.File) error {
		if err := f.SyncData(); err != nil {
			return flushError{err}
		}
		return nil
	})
}

// probeAgain measures on a free slot, if there is one, which method of flushing is
// faster now. A failure says nothing about the log.
func (l *Log) probeAgain() {
	l.mu.Lock()
	live := l.inSync()
	i := slices.IndexFunc(l.free, func(s slot) bool { return !s.reserved })
	if !l.canDirect || i < 0 || l.closed || l.failed != nil || l.joining {
		l.mu.Unlock()
		return
	}
	s := l.free[i]
	l.free = slices.Delete(l.free, i, i+1)
	l.making = true
	l.mu.Unlock()
	better, err := probe(l.fs, l.sinks[live[0]].dir, s, l.method)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.making = false
	l.settled.Broadcast()
	s.dirty = true
	l.free = append(l.free, s)
	if err == nil {
		l.method = better
		l.wantCached = better == SyncData && !l.cached
	}
}
