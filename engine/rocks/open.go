//go:build rocksdb

package rocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/linxGnu/grocksdb"

	"github.com/orbit-persistence/orbit/engine"
)

// Available tells whether this binary was built with RocksDB.
const Available = true

// Open opens the store in dir, and creates it there if dir is empty or not
// there; its parent must exist. ErrLocked: the store is open elsewhere, in this
// process or another one. ErrCorrupt: what is there is not what was written.
func Open(dir string, o Options) (engine.Engine, error) {
	s, err := open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open rocksdb store %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, o Options) (*store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.WithDefaults()
	s := &store{dir: dir, options: o, settings: newSettings(o)}
	names, err := familyNames(dir, s.settings.options)
	if err == nil {
		err = s.openDB(names)
	}
	if err != nil {
		s.settings.destroy()
		return nil, err
	}
	for _, name := range o.Families {
		if _, err := s.createFamily(name); err != nil {
			return nil, errors.Join(err, s.release())
		}
	}
	// What an ingestion that did not end left behind.
	err = os.RemoveAll(s.ingestDir())
	if err == nil {
		// RocksDB does not make the directory's own name durable.
		err = syncDir(filepath.Dir(filepath.Clean(dir)))
	}
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// familyNames lists the families of the store in dir, all of which must be
// named when it is opened; only the default one, if there is no store yet.
func familyNames(dir string, options *grocksdb.Options) ([]string, error) {
	const first = "default"
	if _, err := os.Stat(filepath.Join(dir, "CURRENT")); errors.Is(err, os.ErrNotExist) {
		return []string{first}, nil
	} else if err != nil {
		return nil, err
	}
	names, err := grocksdb.ListColumnFamilies(options, dir)
	if err != nil {
		return nil, translate(err)
	}
	if i := slices.Index(names, first); i > 0 {
		names[0], names[i] = names[i], names[0]
	}
	return names, nil
}

// openDB opens the database. names[0] is the default family.
func (s *store) openDB(names []string) error {
	options := slices.Repeat([]*grocksdb.Options{s.settings.options}, len(names))
	db, handles, err := grocksdb.OpenDbColumnFamilies(s.settings.options, s.dir, names, options)
	if err != nil {
		return translate(err)
	}
	s.db = db
	s.families = map[engine.FamilyID]*family{}
	s.native, err = nativeOfDB(db)
	for i, handle := range handles {
		f, familyErr := newFamily(names[i], handle)
		if familyErr != nil {
			err = errors.Join(err, familyErr)
			continue
		}
		s.families[f.id] = f
	}
	if err != nil {
		for _, handle := range handles {
			handle.Destroy()
		}
		db.Close()
		return err
	}
	s.reader = reader{store: s, life: &s.life, family: s.families[0]}
	s.traits = traits(s.options)
	return nil
}

// release closes the database, with every handle before it: RocksDB asserts that
// none is left.
func (s *store) release() error {
	err := s.native.flushLog(true)
	for _, f := range s.families {
		f.handle.Destroy()
	}
	s.db.Close()
	s.settings.destroy()
	if err != nil {
		return fmt.Errorf("close rocksdb store %s: %w", s.dir, s.failed(err, true))
	}
	return nil
}

// settings are the Options in RocksDB's form. The store's objects refer to them
// until it is closed.
type settings struct {
	options *grocksdb.Options
	table   *grocksdb.BlockBasedTableOptions
	cache   *grocksdb.Cache
}

func newSettings(o Options) settings {
	cache := grocksdb.NewLRUCache(o.CacheBytes)
	table := grocksdb.NewDefaultBlockBasedTableOptions()
	table.SetBlockCache(cache)
	table.SetBlockSize(o.BlockBytes)
	table.SetFormatVersion(5)
	table.SetCacheIndexAndFilterBlocks(true)
	table.SetPinL0FilterAndIndexBlocksInCache(true)
	if o.BloomBitsPerKey > 0 {
		// The table owns the filter policy.
		table.SetFilterPolicy(grocksdb.NewBloomFilterFull(o.BloomBitsPerKey))
	}
	options := newTableOptions(o, table)
	options.SetCreateIfMissing(true)
	options.SetCreateIfMissingColumnFamilies(true)
	options.SetManualWALFlush(o.ManualLogFlush)
	options.SetMaxBackgroundJobs(o.MaxBackgroundJobs)
	options.SetBytesPerSync(1 << 20)
	options.SetUseDirectReads(o.DirectReads)
	// A library with assertions logs each flush of the log otherwise.
	options.SetInfoLogLevel(grocksdb.InfoInfoLogLevel)
	options.SetKeepLogFileNum(10)
	if o.Statistics {
		options.EnableStatistics()
	}
	return settings{options: options, table: table, cache: cache}
}

// newTableOptions are the options that also tables written by an ingestion need.
func newTableOptions(o Options, table *grocksdb.BlockBasedTableOptions) *grocksdb.Options {
	options := grocksdb.NewDefaultOptions()
	options.SetBlockBasedTableFactory(table)
	options.SetCompression(map[Compression]grocksdb.CompressionType{
		None:   grocksdb.NoCompression,
		Snappy: grocksdb.SnappyCompression,
		LZ4:    grocksdb.LZ4Compression,
		Zstd:   grocksdb.ZSTDCompression,
	}[o.Compression])
	options.SetLevelCompactionDynamicLevelBytes(true)
	options.SetWriteBufferSize(o.WriteBufferBytes)
	options.SetMaxWriteBufferNumber(o.MaxWriteBuffers)
	options.SetTargetFileSizeBase(o.TargetFileBytes)
	return options
}

func (s settings) destroy() {
	s.options.Destroy()
	s.table.Destroy()
	s.cache.Destroy()
}
