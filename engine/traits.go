package engine

import (
	"context"
	"iter"
)

// Traits tell what an engine can do. A boolean that names an interface is true
// if and only if the engine implements it.
type Traits struct {
	// Name is the engine's short name, as the tools take it: "rocksdb".
	Name string
	// Version names the implementation behind it: "RocksDB 7.8.3 (assertions on)".
	Version string
	// Durability holds the classes that Apply accepts.
	Durability DurabilitySet
	// Persistent engines show the same data when they are opened again.
	Persistent bool
	// Checkpoint engines write openable copies; else Checkpoint is ErrUnsupported.
	Checkpoint bool
	// Compact engines reclaim space while open; else Compact is ErrUnsupported.
	Compact bool
	Limits  Limits

	MultiGet       bool // MultiGetter
	Families       bool // FamilyStore
	Conditional    bool // Conditional
	NamedSnapshots bool // NamedSnapshots
	Sequenced      bool // Sequenced
	Ingest         bool // Ingester
	Logged         bool // Logged
}

// MultiGetter reads many keys for less than the price of as many gets.
type MultiGetter interface {
	// MultiGet reads all keys at one commit and calls found once for each, in
	// the order of keys, with its index. The value is valid until found returns;
	// it is nil, with present false, for a key that is not there. It stops at
	// the first error.
	MultiGet(keys [][]byte, found func(i int, value []byte, present bool)) error
}

// FamilyID names a family within one store. 0 is the default family, which
// every engine has. An ID stays with its family across restarts and is not used
// again after the family is dropped.
type FamilyID uint32

// FamilyReader is implemented by a FamilyStore and by its snapshots.
type FamilyReader interface {
	// In returns a Reader of one family; ErrNotFound if there is none with this
	// ID. It needs no closing, and ends with what it was made from.
	In(f FamilyID) (Reader, error)
}

// FamilyStore keeps key spaces apart under names, while one Batch changes
// several of them atomically. A batch that names a family that is not there is
// ErrNotFound, and nothing is applied.
type FamilyStore interface {
	FamilyReader
	// CreateFamily returns the ID of the family of that name, made durable if it
	// is new. The empty name is ErrInvalid; "default" is the default family.
	CreateFamily(ctx context.Context, name string) (FamilyID, error)
	// DropFamily removes a family and all that it holds; ErrNotFound if there is
	// none, ErrInvalid for the default family.
	DropFamily(ctx context.Context, name string) error
	// Families returns the families by name, the default one included.
	Families() (map[string]FamilyID, error)
}

// Range is the keys in [Lower, Upper); a nil bound is open.
type Range struct{ Lower, Upper []byte }

// ReadSet is what a transaction has read: single keys, present or not, and
// whole ranges.
type ReadSet struct {
	Keys   [][]byte
	Ranges []Range
}

// Conditional commits only if what was read is unchanged. It makes serializable
// transactions from a snapshot to read at and a batch to write.
type Conditional interface {
	// ApplyIf applies b as Apply does, if every key and range of reads shows the
	// newest commit what it showed the snapshot at, keys not there included.
	// Else nothing is applied, and it is ErrConflict. The snapshot must come
	// from the same engine, else it is ErrInvalid, and stays open.
	ApplyIf(ctx context.Context, at Snapshot, reads ReadSet, b *Batch, d Durability) error
}

// NamedSnapshots are fixed states under names, which survive a restart of a
// persistent engine.
type NamedSnapshots interface {
	// CreateSnapshot names the newest commit; ErrConflict if the name is taken,
	// ErrInvalid if it is empty. It is durable when the call returns.
	CreateSnapshot(ctx context.Context, name string) error
	// ListSnapshots returns the names in order.
	ListSnapshots() ([]string, error)
	// OpenSnapshot returns a Reader of it; ErrNotFound if there is none.
	OpenSnapshot(name string) (Snapshot, error)
	// DropSnapshot forgets it; handles that are open stay good. ErrNotFound if
	// there is none.
	DropSnapshot(ctx context.Context, name string) error
}

// Sequenced engines tell the place of each batch in the commit order: whole
// numbers that grow by at least one with each non-empty batch, and never go
// back, restarts included. Batch.Sequence returns that of an applied batch.
type Sequenced interface {
	// LastSequence returns the newest commit's number. 0 is the empty store.
	LastSequence() uint64
}

// SequencedSnapshot is implemented by the snapshots of Sequenced engines.
type SequencedSnapshot interface {
	// Sequence returns the number of the newest batch in the snapshot.
	Sequence() uint64
}

// Ingester loads sorted entries in bulk, past the log where there is one.
type Ingester interface {
	// Ingest adds the entries over what is there. Keys must ascend strictly
	// (ErrInvalid names the first that does not) and keep to the Limits
	// (ErrTooLarge). The entries become visible at once and, in a persistent
	// engine, are as durable as Flushed when it returns; on an error none of them
	// is visible. The bytes are read before the next entry is asked for. A
	// cancelled ctx ends it.
	Ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error
}

// Logged engines let their log be read while they are in use, so that it can be
// archived.
type Logged interface {
	// LogPosition returns the identity of the log, which stays the same as long as the
	// store does once something was committed, and the sequence of its newest record: a
	// count of its own, in which each non-empty batch is one record.
	LogPosition() (log, sequence uint64)
	// NewLogReader returns a reader of the records behind one. The log keeps them, and
	// what follows, in up to limit bytes beside those that it needs itself, 0 for no
	// limit; what takes more is lost to the reader. ErrNotFound if some are gone already.
	// It must be closed.
	NewLogReader(after uint64, limit int64) (LogReader, error)
}

// LogReader reads a log in its order. It belongs to one goroutine at a time.
type LogReader interface {
	// Read calls each for the records that have become durable since the last call, and
	// returns the sequence of the last that each has taken without an error. An error of
	// each ends it. ErrNotFound if records were lost to the reader: begin anew, with a
	// checkpoint.
	Read(ctx context.Context, each func(LogRecord) error) (last uint64, err error)
	// Keep tells that the records up to sequence are not needed any more.
	Keep(sequence uint64)
	// Close lets the log go on without the reader. A second Close is ErrClosed.
	Close() error
}

// LogRecord is one record of a log.
type LogRecord struct {
	Sequence uint64
	// Batch is an encoded Batch, good until the callback returns; nil if the record is
	// none.
	Batch []byte
	// Opaque records change what is stored, and do not say how, as bulk loads do: what
	// follows cannot be applied to a state of before.
	Opaque bool
}
