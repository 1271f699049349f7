package linear_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/torture/linear"
	"github.com/orbit-persistence/orbit/torture/target"
)

// logged is the memory engine with a log: records of length, CRC and batch. What
// follows a bad record is cut off when it is opened.
type logged struct {
	*memory.Engine
	mu   sync.Mutex
	file vfs.File
	end  int64
	flaw flaw
}

// flaw is a defect of logged.
type flaw int

const (
	sound flaw = iota
	acknowledgesBeforeFlush
	forgetsSyncOfDirectory
	replaysPastTornRecord
)

func openLogged(f flaw) func(vfs.FS, string) (engine.Engine, error) {
	return func(fsys vfs.FS, dir string) (engine.Engine, error) {
		l := &logged{Engine: memory.Open(), flaw: f}
		if err := l.replay(fsys, dir); err != nil {
			return nil, errors.Join(err, l.Engine.Close())
		}
		return l, nil
	}
}

func (l *logged) replay(fsys vfs.FS, dir string) error {
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	file, err := fsys.Open(filepath.Join(dir, "log"), vfs.Create)
	if err != nil {
		return err
	}
	l.file = file
	size, err := file.Size()
	if err != nil {
		return err
	}
	data := make([]byte, size)
	if _, err := file.ReadAt(data, 0); err != nil && err != io.EOF {
		return err
	}
	for len(data)-int(l.end) >= 8 {
		head := data[l.end:]
		n := int64(binary.LittleEndian.Uint32(head))
		if n == 0 || n > int64(len(head)-8) {
			if l.flaw == replaysPastTornRecord && n == 0 { // zeros: goes on behind them
				l.end++
				continue
			}
			break
		}
		body := head[8 : 8+n]
		bad := crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(head[4:])
		if bad && l.flaw != replaysPastTornRecord {
			break
		}
		if b, err := engine.DecodeBatch(body); err == nil && !bad {
			if err := l.Engine.Apply(context.Background(), b, engine.Memory); err != nil {
				return err
			}
		}
		l.end += 8 + n
	}
	if err := file.Truncate(l.end); err != nil {
		return err
	}
	if err := file.Sync(); err != nil || l.flaw == forgetsSyncOfDirectory {
		return err
	}
	return errors.Join(fsys.SyncDir(dir), fsys.SyncDir(filepath.Dir(dir)))
}

func (l *logged) Traits() engine.Traits {
	t := l.Engine.Traits()
	t.Persistent, t.Durability = true, engine.DurabilityOf(engine.Buffered, engine.Flushed)
	return t
}

func (l *logged) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	return l.commit(b, d, func() error { return l.Engine.Apply(ctx, b, engine.Memory) })
}

func (l *logged) ApplyIf(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
	return l.commit(b, d, func() error { return l.Engine.ApplyIf(ctx, at, reads, b, engine.Memory) })
}

func (l *logged) commit(b *engine.Batch, d engine.Durability, apply func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := apply(); err != nil {
		return err
	}
	if b.Count() == 0 {
		return nil
	}
	record := binary.LittleEndian.AppendUint32(nil, uint32(b.Size()))
	record = binary.LittleEndian.AppendUint32(record, crc32.ChecksumIEEE(b.Encoded()))
	record = append(record, b.Encoded()...)
	if _, err := l.file.WriteAt(record, l.end, 0); err != nil {
		return err
	}
	l.end += int64(len(record))
	if d != engine.Flushed || l.flaw == acknowledgesBeforeFlush {
		return nil
	}
	return l.file.Sync()
}

func (l *logged) Sync(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Sync()
}

func (l *logged) Close() error { return errors.Join(l.file.Close(), l.Engine.Close()) }

// onDisks is an engine for both media.
func onDisks(f flaw) target.Engine {
	open := openLogged(f)
	return target.Engine{Name: "logged", Open: func(dir string) (engine.Engine, error) { return open(vfs.OS(), dir) }, OpenOn: open}
}

// TestPowerCuts: a sound log is not accused by cuts among its clients.
func TestPowerCuts(t *testing.T) {
	r, err := linear.Mode(t.Context(), target.Run{Engine: onDisks(sound), Seed: 1, Work: 8, Directory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures {
		t.Errorf("%s\n%s\n%s", f.What, f.Workload, f.Trace)
	}
	if r.Get("power cuts") < 8 || len(r.LeftOut) > 0 {
		t.Errorf("%+v, left out %q", r.Counts, r.LeftOut)
	}
	if r.Get("unknown")*1000 >= r.Get("keys judged")+r.Get("windows") {
		t.Errorf("too much is not decided: %+v", r.Counts)
	}
	t.Logf("%+v in %v", r.Counts, r.Elapsed)
}

// TestFlawsAtPowerCuts: each defect of the log is found.
func TestFlawsAtPowerCuts(t *testing.T) {
	for name, f := range map[string]flaw{
		"acknowledged before the flush":     acknowledgesBeforeFlush,
		"directory not synced after create": forgetsSyncOfDirectory,
		"replay goes on past a torn record": replaysPastTornRecord,
	} {
		t.Run(name, func(t *testing.T) {
			r, err := linear.Mode(t.Context(), target.Run{Engine: onDisks(f), Seed: 1, Work: 60, Directory: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Failures) == 0 {
				t.Fatalf("not found: %+v", r.Counts)
			}
			if w := r.Failures[0].Workload; !strings.HasPrefix(w, "power cuts: ") {
				t.Errorf("found by %s", w)
			}
			t.Logf("%d histories: %.200s", r.Get("histories"), r.Failures[0].What)
		})
	}
}
