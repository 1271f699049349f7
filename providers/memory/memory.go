// Package memory is the provider that keeps everything in memory, with a backup on
// disk if that is configured. Importing it registers the backend "memory".
//
// The backup is written whole, beside its name, flushed, and renamed into place,
// every SyncInterval if something has changed and once more at Close; it is one
// moment of the store. What was written since the last one is lost with the
// process: Capabilities.Durability says so. At opening the backup is restored; one
// that is damaged, cut short or of an unknown version is ErrCorrupt, and nothing is
// opened.
package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/local"
)

// Backend is the selector.
const Backend = "memory"

func init() {
	driver.Register(Backend, func(ctx context.Context, options any) (driver.Store, error) {
		c, err := driver.Options(options, Config{})
		if err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
}

// Config sets up a store. The zero value is a store without limits and backup.
type Config struct {
	// MaxEntries bounds the number of entries; 0 is no bound.
	MaxEntries uint64
	// MaxBytes bounds keys and values, with some 10 bytes for each; 0 is no bound.
	MaxBytes uint64
	// Evict removes entries that were written long ago where a write finds no room;
	// else the write is ErrNoSpace.
	Evict bool
	// DiskBackup is where the backup goes; nil is none.
	DiskBackup *DiskBackup
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// FS holds the backup; nil is the operating system's.
	FS vfs.FS
}

// DiskBackup says where a backup is, and how often it is written.
type DiskBackup struct {
	// Path is the file. Beside it stands a directory Path.lock, by which a second
	// store with the same backup is refused with ErrLocked.
	Path string
	// SyncInterval is the time between two backups; 0 is 300 s.
	SyncInterval time.Duration
	// Compression packs it.
	Compression Compression
}

// DefaultSyncInterval is DiskBackup.SyncInterval where that is 0.
const DefaultSyncInterval = 300 * time.Second

// Validate returns an ErrInvalid that names what no store could be opened with.
func (c Config) Validate() error {
	if b := c.DiskBackup; b != nil {
		switch {
		case b.Path == "":
			return fmt.Errorf("%w: disk_backup without a path", driver.ErrInvalid)
		case b.SyncInterval < 0:
			return fmt.Errorf("%w: disk_backup.sync_interval of %s", driver.ErrInvalid, b.SyncInterval)
		}
		if _, err := b.Compression.code(); err != nil {
			return err
		}
	}
	if c.Evict && c.MaxEntries == 0 && c.MaxBytes == 0 {
		return fmt.Errorf("%w: evict without max_entries or max_bytes", driver.ErrInvalid)
	}
	return nil
}

// Store is an open memory provider.
type Store struct {
	*local.Store
	engine *memory.Engine
	backup *backup // nil if none is configured
}

// Open opens a store, and restores its backup if there is one.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Store{engine: memory.Open()}
	options := local.Options{
		Backend: Backend, Durability: engine.Memory, Now: c.Now,
		Limits: local.Occupancy{MaxEntries: c.MaxEntries, MaxBytes: c.MaxBytes, Evict: c.Evict},
	}
	if c.DiskBackup != nil {
		// The backup may be older than revisions that were given since.
		options.FirstRevision = uint64(time.Now().UnixNano())
		var err error
		if s.backup, err = openBackup(ctx, c, s.engine); err != nil {
			s.engine.Close()
			return nil, err
		}
	}
	base, err := local.New(ctx, s.engine, options)
	if err != nil {
		s.engine.Close()
		if s.backup != nil {
			s.backup.abandon()
		}
		return nil, err
	}
	s.Store = base.(*local.Store) // the engine has neither checkpoints nor compaction
	if s.backup != nil {
		s.backup.start()
	}
	return s, nil
}

// Backup writes the backup now. ErrUnsupported if none is configured.
func (s *Store) Backup(ctx context.Context) error {
	if s.backup == nil {
		return fmt.Errorf("backup: %w: no disk_backup is configured", driver.ErrUnsupported)
	}
	return s.backup.write(ctx)
}

// Capabilities implements driver.Store.
func (s *Store) Capabilities() driver.Capabilities {
	c := s.Store.Capabilities()
	c.Persistent = s.backup != nil
	return c
}

// Report implements driver.Reporter: a backup that fails is Degraded.
func (s *Store) Report() driver.Report {
	r := s.Store.Report()
	if s.backup != nil {
		s.backup.report(&r)
	}
	return r
}

// Close writes the backup a last time. If that fails, it is the error, and what
// was written since the last good backup is lost.
func (s *Store) Close() error {
	if s.backup != nil {
		return s.backup.close(s.Store.Close)
	}
	return s.Store.Close()
}

// backup writes the backup of one engine.
type backup struct {
	fs       vfs.FS
	path     string
	code     byte
	interval time.Duration
	engine   *memory.Engine
	lock     interface{ Close() error }

	stop  chan struct{} // closed by close
	ended chan struct{} // closed when the goroutine has ended

	writing sync.Mutex // held while a backup is written
	written uint64     // guarded by writing: the sequence of the newest backup

	mu     sync.Mutex // guards what follows
	closed bool
	failed error // of the last backup
}

// start begins the periodic backups.
func (b *backup) start() {
	b.stop, b.ended = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(b.ended)
		tick := time.NewTicker(b.interval)
		defer tick.Stop()
		for {
			select {
			case <-b.stop:
				return
			case <-tick.C:
				// The error is kept, and shown by report.
				_ = b.write(context.Background())
			}
		}
	}()
}

// abandon gives up before start.
func (b *backup) abandon() { b.lock.Close() }

func (b *backup) report(r *driver.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed != nil {
		if r.Degraded != "" {
			r.Degraded += "; "
		}
		r.Degraded += "the last backup failed: " + b.failed.Error()
	}
}

func (b *backup) close(closeStore func() error) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return driver.ErrClosed
	}
	b.closed = true
	b.mu.Unlock()
	close(b.stop)
	<-b.ended
	failed := b.write(context.Background())
	err := closeStore()
	b.lock.Close()
	if failed != nil {
		return failed
	}
	return err
}
