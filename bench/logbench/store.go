package logbench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/engine/rocks"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// RecordBytes is the size of a record in every figure.
const RecordBytes = 150

// store takes commits of one record.
type store interface {
	commit(writer int, d engine.Durability) error
	// flushes counts the flushes so far, 0 if nobody knows.
	flushes() uint64
	close() error
}

// stores are what is compared, the log first.
var stores = []struct {
	name    string
	missing string
	open    func(dir string) (store, error)
}{
	{"orbit log", "", func(dir string) (store, error) { return openLog(dir) }},
	{"pebble", "", func(dir string) (store, error) {
		e, err := pebbledb.Open(dir, pebbledb.Options{CacheBytes: 8 << 20, MemTableBytes: 64 << 20})
		return newEngineStore(e), err
	}},
	{"rocksdb", rocksMissing(), func(dir string) (store, error) {
		e, err := rocks.Open(dir, rocks.Options{CacheBytes: 8 << 20, WriteBufferBytes: 64 << 20})
		return newEngineStore(e), err
	}},
}

func rocksMissing() string {
	if rocks.Available {
		return ""
	}
	return "this build has no RocksDB; run make build"
}

// logStore is the log in one directory or more.
type logStore struct{ *wal.Log }

var payload = make([]byte, RecordBytes)

func openLog(dirs ...string) (logStore, error) {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return logStore{}, err
		}
	}
	l, err := wal.Open(context.Background(), wal.Options{Sinks: dirs}, 0, nil)
	return logStore{l}, err
}

func (s logStore) commit(_ int, d engine.Durability) error {
	n, err := s.Append(context.Background(), payload, d)
	if err == nil && d == engine.Flushed {
		err = s.Flush(n)
	}
	if err == nil && n%(1<<16) == 0 {
		err = s.Release(n) // as an engine does once it has written its own files
	}
	return err
}

func (s logStore) flushes() uint64 { return s.Stats().Flushes }
func (s logStore) close() error    { return s.Close() }

// engineStore commits to an engine of its own log: a put of one key per writer,
// so that its other work is small, in a batch of RecordBytes.
type engineStore struct {
	engine.Engine
	batches [256]engine.Batch
}

func newEngineStore(e engine.Engine) *engineStore {
	s := &engineStore{Engine: e}
	for i := range s.batches {
		key := fmt.Sprintf("writer %08d", i)
		s.batches[i].Put([]byte(key), payload[:RecordBytes-len(key)-8])
	}
	return s
}

func (s *engineStore) commit(writer int, d engine.Durability) error {
	return s.Apply(context.Background(), &s.batches[writer], d)
}

func (s *engineStore) flushes() uint64 { return 0 }
func (s *engineStore) close() error    { return s.Close() }

// within opens a store in a new directory, calls f, and removes everything.
func within(dir string, open func(dir string) (store, error), f func(store) error) (err error) {
	dir, err = os.MkdirTemp(dir, "log-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := open(filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.close())
}
