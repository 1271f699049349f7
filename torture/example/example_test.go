package example_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
	"github.com/orbit-persistence/orbit/torture/example"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small makes every test write checkpoints.
var small = example.Options{SegmentBytes: 64 << 10, CheckpointBytes: 64 << 10}

func open(t *testing.T, dir string) *example.Engine {
	t.Helper()
	e, err := example.Open(context.Background(), dir, small)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Target{
		Name:       "example",
		Operations: 20_000,
		Open: func(dir string) (engine.Engine, error) {
			return example.Open(context.Background(), dir, small)
		},
	})
}

// store makes a store with a checkpoint of some entries, and a log behind it.
func store(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	e := open(t, dir)
	put := func(key string) {
		var b engine.Batch
		b.Put([]byte(key), []byte("value of "+key))
		if err := e.Apply(context.Background(), &b, engine.Flushed); err != nil {
			t.Fatal(err)
		}
	}
	put("in the checkpoint")
	if err := e.Compact(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	put("in the log")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDamagedCheckpoint: a checkpoint with any byte changed, or cut anywhere, is
// refused as corrupt; one of another format is refused by its name.
func TestDamagedCheckpoint(t *testing.T) {
	dir := store(t)
	name := filepath.Join(dir, "data")
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, data []byte, says string) {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := example.Open(context.Background(), dir, small)
		if !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(fmt.Sprint(err), says) {
			t.Errorf("%s: %v, want corrupt and %q", what, err, says)
		}
		if err == nil {
			e.Close()
		}
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x10
		refused(fmt.Sprintf("byte %d changed", i), bad, "data")
		refused(fmt.Sprintf("cut at %d", i), good[:i], "data")
	}
	other := append([]byte(nil), good[:len(good)-4]...)
	other[7] = '2'
	sum := crc32.Checksum(other, crc32.MakeTable(crc32.Castagnoli))
	refused("another version", binary.LittleEndian.AppendUint32(other, sum), `"orbitex2"`)

	if err := os.WriteFile(name, good, 0o600); err != nil {
		t.Fatal(err)
	}
	e := open(t, dir)
	for _, key := range []string{"in the checkpoint", "in the log"} {
		if v, err := e.Get([]byte(key), nil); string(v) != "value of "+key {
			t.Errorf("%s: %q, %v", key, v, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMissingCheckpoint: a log that does not begin where the checkpoint ends is
// refused, not taken for all there ever was.
func TestMissingCheckpoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	e := open(t, dir)
	for i := range 100 {
		var b engine.Batch
		b.Put(fmt.Append(nil, i), make([]byte, 10_000))
		if err := e.Apply(context.Background(), &b, engine.Buffered); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Compact(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	var b engine.Batch
	b.Put([]byte("behind"), nil)
	if err := e.Apply(context.Background(), &b, engine.Flushed); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	if e, err := example.Open(context.Background(), dir, small); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("opened without its checkpoint: %v", err)
		if err == nil {
			e.Close()
		}
	}
}
