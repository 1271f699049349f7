package wal

import "time"

// janitor is the goroutine that makes a slot before it is needed, and measures
// again how to flush. It begins with Open and ends with Close.
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

// prepare makes a slot for the segment after the current one. Where that cannot be
// done, whoever needs it will try again, and say so.
func (l *Log) prepare() {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A log that never fills its first segment needs no second.
	if l.closed || l.failed != nil || l.making || len(l.free) > 0 || len(l.segments) < 2 && l.number < 2 {
		return
	}
	if s, err := l.newSlot(l.nextBytes(), true); err == nil {
		l.free = append(l.free, s)
	}
}

// probeAgain measures on a free slot, if there is one, which method of flushing is
// faster now. A failure says nothing about the log.
func (l *Log) probeAgain() {
	l.mu.Lock()
	live := l.inSync()
	if !l.canDirect || len(l.free) == 0 || l.closed || l.failed != nil {
		l.mu.Unlock()
		return
	}
	s := l.free[0]
	l.free = l.free[1:]
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
