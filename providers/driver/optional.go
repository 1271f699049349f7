package driver

import (
	"context"
	"iter"
	"time"
)

// Committer commits many keys at once. It is what transactions stand on.
type Committer interface {
	// Commit applies all writes at one moment, if at that moment every read shows
	// what it showed; else nothing is applied and it is ErrConflict. ErrFenced if
	// a write's token is older than one that was seen.
	Commit(ctx context.Context, m *Commit) error
}

// Commit is what a transaction has read, and what it writes.
type Commit struct {
	// Reads are keys with the revision that they had; zero if they were not there.
	Reads []Read
	// Ranges are lists with all that they showed.
	Ranges []RangeRead
	// Writes change each key at most once.
	Writes []Write
	// Timeout is the time after which others may abort a commit that has come to
	// no end, where they can; 0 is the store's default.
	Timeout time.Duration
}

// Read is a key that was read.
type Read struct {
	Key      []byte
	Revision Revision
}

// RangeRead is a list that was read: what it was asked for, and what it showed,
// with the revisions.
type RangeRead struct {
	Options ListOptions
	Seen    []Read
}

// Write is one change of a Commit or a BulkPut.
type Write struct {
	Key, Value []byte
	// Delete removes the key; Value and TTL are then without meaning.
	Delete bool
	// TTL and Fence are as in PutOptions.
	TTL   time.Duration
	Fence uint64
}

// BatchGetter reads many keys for less than the price of as many gets.
type BatchGetter interface {
	// GetMany returns an entry for each key, in their order. Where the key is not
	// there, Revision is zero. The entries need not be of one moment.
	GetMany(ctx context.Context, keys [][]byte) ([]Entry, error)
}

// BulkPutter writes many keys for less than the price of as many puts.
type BulkPutter interface {
	// BulkPut applies the writes, each by itself, in no order. After an error some
	// may have been applied; if it is ErrUnavailable, none.
	BulkPut(ctx context.Context, writes []Write) error
}

// Snapshotter gives readers of one moment.
type Snapshotter interface {
	// Snapshot returns a view of the newest state. It must be closed.
	Snapshot(ctx context.Context) (Snapshot, error)
}

// Snapshot is a view of one moment. Time goes on in it: entries expire.
type Snapshot interface {
	Get(ctx context.Context, key []byte) (Entry, error)
	List(ctx context.Context, o ListOptions) iter.Seq2[Entry, error]
	// Close releases it.
	Close() error
}

// NamedSnapshotter keeps views of one moment under names, which are there again when the
// store is opened again, until they are dropped.
type NamedSnapshotter interface {
	// CreateSnapshot names the newest state, durably. ErrConflict if the name is taken.
	CreateSnapshot(ctx context.Context, name string) error
	// ListSnapshots returns the names in order.
	ListSnapshots(ctx context.Context) ([]string, error)
	// OpenSnapshot returns the view of that name, which must be closed; ErrNotFound if
	// there is none.
	OpenSnapshot(ctx context.Context, name string) (Snapshot, error)
	// DropSnapshot forgets a name; views that are open stay good. ErrNotFound if there
	// is none.
	DropSnapshot(ctx context.Context, name string) error
}

// Watcher tells of changes as they are made.
type Watcher interface {
	// Watch yields every change of keys with the prefix that is made after the
	// call, in the order of each key, until ctx ends or the caller stops. It ends
	// after an error: changes may then be missed, so list anew.
	Watch(ctx context.Context, prefix []byte) iter.Seq2[Event, error]
}

// Event is one change that a Watcher tells of.
type Event struct {
	// Entry is what the key is now; of a deleted key only the Key.
	Entry   Entry
	Deleted bool
}

// Clock is implemented by stores that have a time of their own, by which TTLs run.
type Clock interface {
	// Now returns the backend's time.
	Now(ctx context.Context) (time.Time, error)
}

// Expirer is implemented by stores that take a TTL and must be told to remove what
// has expired. It is not shown in the meantime.
type Expirer interface {
	// Expire removes up to limit expired entries and returns how many.
	Expire(ctx context.Context, limit int) (int, error)
}

// Checkpointer writes copies of itself while it is in use.
type Checkpointer interface {
	// Checkpoint writes an openable, durable copy into dir, which must not exist
	// or must be empty.
	Checkpoint(ctx context.Context, dir string) error
}

// Compacter reclaims space on demand.
type Compacter interface {
	// Compact reclaims what it can, and changes nothing that a reader sees.
	Compact(ctx context.Context) error
}

// Reporter tells what a store holds and how full it is.
type Reporter interface {
	// Report is cheap enough to be asked every second.
	Report() Report
}

// Report are gauges of now and counters since a store was opened.
type Report struct {
	// MemoryBytes is what the store holds in memory, MemoryLimitBytes what it may;
	// 0 is no limit.
	MemoryBytes, MemoryLimitBytes uint64
	// Entries is the number of entries, EntryLimit how many there may be; 0 where
	// it is not known, or there is no limit.
	Entries, EntryLimit uint64
	// DiskBytes is what its files occupy. DiskUsedPercent is how full the device
	// under them is; 0 where it is not known.
	DiskBytes       uint64
	DiskUsedPercent float64
	// CompactionBacklog is the work that compaction has before it, in the unit that
	// BacklogUnit names: "bytes", "files".
	CompactionBacklog uint64
	BacklogUnit       string
	CacheHits         uint64
	CacheMisses       uint64
	// Evictions counts entries that a configured limit has pushed out.
	Evictions uint64
	// Degraded says what is not as it should be, "" if nothing: an operator reads
	// it.
	Degraded string
	// Details are figures that only this backend has, under its own names, with the
	// unit last: "flushes", "memtable_bytes". The map is the caller's.
	Details map[string]float64
}
