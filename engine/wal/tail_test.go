package wal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// TestTail reads a log while many write to it, in all classes, with small segments that
// are released as soon as they are full and used again, in two sinks.
func TestTail(t *testing.T) {
	for _, method := range []wal.FlushMethod{wal.Probe, wal.SyncData} {
		t.Run(fmt.Sprint(method), func(t *testing.T) {
			ctx := t.Context()
			o := wal.Options{Sinks: []string{t.TempDir(), t.TempDir()}, SegmentBytes: 64 << 10, Flush: method}
			l, err := wal.Open(ctx, o, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			tail, err := l.NewTail(0, 0)
			if err != nil {
				t.Fatal(err)
			}
			const writers, each = 4, 300
			var mu sync.Mutex
			wrote := map[uint64]string{}
			var wg sync.WaitGroup
			var writing atomic.Int64
			for w := range writers {
				writing.Add(1)
				wg.Go(func() {
					defer writing.Add(-1)
					random := rand.New(rand.NewPCG(uint64(w), 1))
					for n := range each {
						payload := make([]byte, random.IntN(2000))
						for i := range payload {
							payload[i] = byte(random.Uint32())
						}
						d := engine.Durabilities[random.IntN(3)]
						seq, err := l.Append(ctx, payload, d)
						if err == nil && d == engine.Flushed {
							err = l.Flush(seq)
						}
						if err == nil && n%10 == 0 {
							err = l.Release(seq)
						}
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						wrote[seq] = string(payload)
						mu.Unlock()
					}
				})
			}
			read := map[uint64]string{}
			last := uint64(0)
			take := func() {
				got, err := tail.Read(ctx, func(r wal.Record) error {
					if r.Sequence != last+1 {
						return fmt.Errorf("record %d behind %d", r.Sequence, last)
					}
					last = r.Sequence
					read[r.Sequence] = string(r.Payload)
					return nil
				})
				if err != nil || got != last {
					t.Errorf("%d, read up to %d: %v", got, last, err)
				}
				tail.Keep(last)
			}
			for writing.Load() > 0 && !t.Failed() {
				take()
			}
			wg.Wait()
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			take()
			if len(read) != writers*each || t.Failed() {
				t.Fatalf("%d records were read, of %d", len(read), writers*each)
			}
			for seq, payload := range wrote {
				if read[seq] != payload {
					t.Fatalf("record %d is not what was written", seq)
				}
			}
			if err := errors.Join(tail.Close(), l.Close()); err != nil {
				t.Fatal(err)
			}
			if err := tail.Close(); !errors.Is(err, engine.ErrClosed) {
				t.Error(err)
			}
		})
	}
}

// write appends so many flushed records of 1,000 bytes, and releases all.
func write(t *testing.T, l *wal.Log, n int) (last uint64) {
	t.Helper()
	for range n {
		seq, err := l.Append(t.Context(), make([]byte, 1000), engine.Buffered)
		if err != nil {
			t.Fatal(err)
		}
		last = seq
	}
	if err := errors.Join(l.Flush(last), l.Release(last)); err != nil {
		t.Fatal(err)
	}
	return last
}

func count(t *testing.T, tail *wal.Tail) (n int) {
	t.Helper()
	if _, err := tail.Read(t.Context(), func(wal.Record) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTailKeeps: what a Tail has not done with stays, over a restart too as long as
// nothing is released, and goes when it has, or takes too much.
func TestTailKeeps(t *testing.T) {
	o := wal.Options{Sinks: []string{t.TempDir()}, SegmentBytes: 64 << 10}
	open := func(after uint64) *wal.Log {
		l, err := wal.Open(context.Background(), o, after, func(wal.Record) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	slots := func() int {
		names, err := filepath.Glob(filepath.Join(o.Sinks[0], "*.wal"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	// fewer waits until no more slots are there than that: the janitor removes them.
	fewer := func(most int) {
		t.Helper()
		for end := time.Now().Add(time.Minute); slots() > most; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%d slots are left, and %d should be", slots(), most)
			}
		}
	}
	l := open(0)
	id := l.ID()
	tail, err := l.NewTail(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	last := write(t, l, 1000)
	if n := slots(); n < 10 {
		t.Errorf("%d slots hold a thousand records", n)
	}
	// An error of each leaves the record for the next call.
	refused := errors.New("refused")
	if got, err := tail.Read(t.Context(), func(r wal.Record) error {
		if r.Sequence == 500 {
			return refused
		}
		return nil
	}); !errors.Is(err, refused) || got != 499 {
		t.Errorf("%d, %v", got, err)
	}
	if n := count(t, tail); n != 501 {
		t.Errorf("%d records behind the refused one", n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	write(t, l, 1)
	if _, err := tail.Read(ended, func(wal.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	tail.Keep(last)
	last = write(t, l, 1)
	fewer(4)
	if _, err := l.NewTail(0, 0); !errors.Is(err, engine.ErrNotFound) {
		t.Error(err)
	}
	if _, err := l.NewTail(last+1, 0); !errors.Is(err, engine.ErrInvalid) {
		t.Error(err)
	}
	if err := tail.Close(); err != nil {
		t.Fatal(err)
	}
	// Released records that are still there can be read again after a restart.
	if seq, err := l.Append(t.Context(), []byte("not flushed"), engine.Flushed); err != nil || seq != last+1 {
		t.Fatal(seq, err)
	}
	if tail, err = l.NewTail(last-1, 0); err != nil {
		t.Fatal(err)
	}
	if n := count(t, tail); n != 1 {
		t.Errorf("%d records were read, of which one was flushed", n)
	}
	if err := errors.Join(l.Sync(), tail.Close()); err != nil {
		t.Fatal(err)
	}
	last++
	middle := last
	if tail, err = l.NewTail(middle, 0); err != nil {
		t.Fatal(err)
	}
	last = write(t, l, 200)
	if err := errors.Join(tail.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := tail.Read(t.Context(), nil); !errors.Is(err, engine.ErrClosed) {
		t.Error(err)
	}
	l = open(middle)
	if l.ID() != id {
		t.Errorf("the log was %x, and is %x", id, l.ID())
	}
	if tail, err = l.NewTail(middle, 100<<10); err != nil {
		t.Fatal(err)
	}
	if n := count(t, tail); n != 200 {
		t.Errorf("%d records after a restart", n)
	}
	tail.Keep(last)
	// Beyond its limit it keeps nothing.
	write(t, l, 500)
	fewer(6)
	if _, err := tail.Read(t.Context(), func(wal.Record) error { return nil }); !errors.Is(err, engine.ErrNotFound) {
		t.Error(err)
	}
	if err := errors.Join(tail.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.NewTail(0, 0); !errors.Is(err, engine.ErrClosed) {
		t.Error(err)
	}
}

// TestTailFindsDamage: a flushed record that cannot be read is told, not passed over.
func TestTailFindsDamage(t *testing.T) {
	o := wal.Options{Sinks: []string{t.TempDir()}, SegmentBytes: 64 << 10, Flush: wal.SyncData}
	l, err := wal.Open(t.Context(), o, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	tail, err := l.NewTail(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, 100)
	corrupt(t, filepath.Join(o.Sinks[0], "000001.wal"), 10_000)
	if _, err := tail.Read(t.Context(), func(wal.Record) error { return nil }); !errors.Is(err, engine.ErrCorrupt) {
		t.Error(err)
	}
	if err := errors.Join(tail.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// corrupt changes a byte of a file.
func corrupt(t *testing.T, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
