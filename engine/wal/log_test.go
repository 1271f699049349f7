package wal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// TestWritersOfAllClasses runs many writers on real files, with small segments that
// are released and used again, and reads everything back in order.
func TestWritersOfAllClasses(t *testing.T) {
	for _, method := range []wal.FlushMethod{wal.Probe, wal.SyncData} {
		for sinks := 1; sinks <= 2; sinks++ {
			t.Run(fmt.Sprintf("%v/sinks=%d", method, sinks), func(t *testing.T) {
				o := wal.Options{SegmentBytes: 64 << 10, Flush: method}
				for range sinks {
					o.Sinks = append(o.Sinks, t.TempDir())
				}
				ctx := context.Background()
				l, err := wal.Open(ctx, o, 0, nil)
				if err != nil {
					t.Fatal(err)
				}
				const writers, each = 8, 400
				var released atomic.Uint64
				var mu sync.Mutex
				wrote := make(map[uint64]uint64) // hash of the payload by sequence
				var wg sync.WaitGroup
				for w := range writers {
					wg.Go(func() {
						r := rand.New(rand.NewPCG(uint64(w), 1))
						for i := range each {
							payload := make([]byte, 16+r.IntN(600))
							h := r.Uint64()
							binary.LittleEndian.PutUint64(payload, h)
							binary.LittleEndian.PutUint64(payload[len(payload)-8:], h)
							class := engine.Durability(r.IntN(3))
							s, err := l.Append(ctx, payload, class)
							clear(payload) // it was copied
							if err == nil && class == engine.Flushed {
								err = l.Flush(s)
							}
							if err != nil {
								t.Error(err)
								return
							}
							mu.Lock()
							wrote[s] = h
							mu.Unlock()
							if w == 0 && i%50 == 0 {
								if err := l.Release(s / 2); err != nil {
									t.Error(err)
								}
								released.Store(s / 2)
							}
						}
					})
				}
				wg.Wait()
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if len(wrote) != writers*each {
					t.Fatalf("%d sequences for %d records", len(wrote), writers*each)
				}
				after := released.Load()
				next := after + 1
				l, err = wal.Open(ctx, o, after, func(r wal.Record) error {
					if r.Sequence != next {
						return fmt.Errorf("record %d, want %d", r.Sequence, next)
					}
					h := wrote[next]
					if binary.LittleEndian.Uint64(r.Payload) != h || binary.LittleEndian.Uint64(r.Payload[len(r.Payload)-8:]) != h {
						return fmt.Errorf("record %d is not what was appended", next)
					}
					next++
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if next != writers*each+1 {
					t.Errorf("the log ends before record %d", next)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestReleasedSpaceIsUsedAgain: a log whose records are released does not grow.
func TestReleasedSpaceIsUsedAgain(t *testing.T) {
	d := newDisk(t)
	l, _, err := open(d, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		fill(t, l, 20)
		if err := l.Release(l.LastSequence()); err != nil {
			t.Fatal(err)
		}
	}
	names, err := d.List(dir)
	if err != nil || len(names) > 4 {
		t.Errorf("%d files, %v", len(names), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk: an Append that finds no room appends nothing, and the log goes on
// when there is room.
func TestFullDisk(t *testing.T) {
	d := simdisk.New(simdisk.Options{Devices: []simdisk.Device{{Path: dir, Capacity: 64 << 10}}})
	l, _, err := open(d, 0)
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	for {
		s, err := l.Append(context.Background(), make([]byte, 1000), engine.Buffered)
		if errors.Is(err, engine.ErrNoSpace) {
			break
		}
		if err != nil || s != last+1 {
			t.Fatal(s, err)
		}
		last = s
	}
	if last < 20 || l.LastSequence() != last {
		t.Errorf("%d records appended; the last is %d", last, l.LastSequence())
	}
	if err := l.Release(last / 2); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 1)
	if l.LastSequence() != last+1 {
		t.Errorf("the order goes on at %d", l.LastSequence())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFaultUnderTheMapping truncates a segment that is mapped: the next buffered
// record is an error, not a signal, and the log is read-only.
func TestFaultUnderTheMapping(t *testing.T) {
	sink := t.TempDir()
	caps, err := vfs.OS().Capabilities(sink)
	if err != nil {
		t.Fatal(err)
	}
	if !caps.Map {
		t.Skip("SKIPPED, NOT VERIFIED HERE: this file system maps no files; a fault under a mapping cannot be had")
	}
	l, err := wal.Open(context.Background(), wal.Options{Sinks: []string{sink}}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(context.Background(), []byte("one"), engine.Buffered); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(sink, "000001.wal"), 0); err != nil {
		t.Fatal(err)
	}
	_, err = l.Append(context.Background(), []byte("two"), engine.Buffered)
	if !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("append: %v", err)
	}
	if err := l.Close(); !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("close: %v", err)
	}
}

// TestFlushedBeforeBuffered: a buffered record, which survives the process at once,
// takes with it a flushed one before it whose flush was never asked for.
func TestFlushedBeforeBuffered(t *testing.T) {
	d := newDisk(t)
	l, _, err := open(d, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []engine.Durability{engine.Flushed, engine.Flushed, engine.Buffered} {
		if _, err := l.Append(context.Background(), []byte("x"), class); err != nil {
			t.Fatal(err)
		}
	}
	_, got, err := open(d.Kill(), 0)
	if err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestCancelledAppend appends nothing.
func TestCancelledAppend(t *testing.T) {
	l, _, err := open(newDisk(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Append(ctx, []byte("x"), engine.Flushed); !errors.Is(err, context.Canceled) || l.LastSequence() != 0 {
		t.Errorf("%v; the last record is %d", err, l.LastSequence())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(context.Background(), nil, engine.Flushed); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("append to a closed log: %v", err)
	}
}
