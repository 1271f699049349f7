package cowbtree

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

const (
	dataName = "data"
	tempName = "data.tmp"
	logName  = "log"
)

// Engine is an open store. Open makes one.
type Engine struct {
	options   Options
	fs        vfs.FS
	dir       string
	pageBytes int
	maxKeys   int
	// inline is the largest value that lies in a page.
	inline int

	data   vfs.File
	align  vfs.Alignment
	log    *wal.Log
	lock   io.Closer
	life   lifetime.Lifetime
	closed atomic.Bool

	cache *cache
	space *space
	// root is the newest tree, which readers see.
	root atomic.Pointer[root]
	seq  atomic.Uint64

	// mu puts commits in order, of the log and of the tree alike. It guards all up
	// to exclusive.
	mu      sync.Mutex
	history history
	// durable is the newest checkpoint in the file.
	durable *snapshot
	names   map[string]*snapshot
	// namesChanged says that snapshots were named or dropped since the last checkpoint
	// began.
	namesChanged bool
	// young are the extents with values, and with pages of transactions, that were
	// taken since the last checkpoint began, by where they are. It counts them as free,
	// since replay writes them again.
	young map[int64]int64
	// logged counts the bytes of batches since the last checkpoint began.
	logged int64
	// unflushed counts those since the last flush of the log that the engine asked for.
	unflushed int64
	// automaticSequence is the newest of the automatic snapshots, and of those that
	// were dropped for it.
	automaticSequence uint64
	// hidden is the state that readers see while a bulk load, which is the newest one,
	// is not durable yet. Commits wait.
	hidden *snapshot
	// ingestAt is the sequence of a bulk load that replay met.
	ingestAt uint64
	// loading is the tree of that bulk load; nil if there is none.
	loading tree
	// failed is why no write can be trusted any more.
	failed error
	// troubled is why the last checkpoint failed, if commits may go on.
	troubled error
	lastKey  []byte
	scratch  scratch
	// settled is signalled when a checkpoint has ended.
	settled *sync.Cond
	// patching says that references to written pages are being put right.
	patching bool
	attempt  attempt

	// waiting counts who waits for mu to commit, passed who has waited and then had it, of
	// which pass tells.
	waiting atomic.Int32
	passed  uint64
	pass    *sync.Cond
	// checkpointing serialises checkpoints, and whatever else must have the data
	// file for itself. It is taken before mu.
	checkpointing sync.Mutex
	// growing is held while the data file is made longer, by a checkpoint or a commit.
	growing sync.Mutex
	// exclusive stands in for the versions of frames where the race detector would
	// take reading without a lock for a mistake.
	exclusive sync.Mutex

	// meta is what the newest checkpoint says; oldCatalog is where its catalog is.
	// checkpointing guards them.
	meta       meta
	oldCatalog extent
	background background
	counters   counters
}

// background is the goroutine that makes checkpoints and flushes the log. Nil
// channels if there is none.
type background struct {
	wake chan struct{}
	stop chan struct{}
	done sync.WaitGroup
}

// counters are what Metrics tells.
type counters struct {
	applied                            atomic.Uint64
	pageReads, innerReads, extentReads atomic.Uint64
	flushed, compacted                 atomic.Uint64
	checkpoints, pagesWritten, stalls  atomic.Uint64
	stallTime                          atomic.Int64
	pagesBorn, inPlace                 atomic.Uint64
	checkpointTime                     atomic.Int64
}

var traits = engine.Traits{
	Name:           "cowbtree",
	Version:        fmt.Sprintf("Orbit copy-on-write B+tree, format %d", formatVersion),
	Durability:     engine.DurabilityOf(engine.Memory, engine.Buffered, engine.Flushed),
	Persistent:     true,
	Checkpoint:     true,
	Compact:        true,
	Limits:         engine.DefaultLimits(),
	MultiGet:       true,
	Conditional:    true,
	NamedSnapshots: true,
	Sequenced:      true,
	Ingest:         true,
	Logged:         true,
}

// Traits implements engine.Engine.
func (e *Engine) Traits() engine.Traits { return traits }

// LastSequence implements engine.Sequenced.
func (e *Engine) LastSequence() uint64 { return e.seq.Load() }

// alone keeps others from pages, in builds with the race detector alone.
func (e *Engine) alone() func() {
	if !raceEnabled {
		return nothing
	}
	e.exclusive.Lock()
	return e.exclusive.Unlock
}

func nothing() {}

// enter begins a call that uses the files; life.Exit ends it.
func (e *Engine) enter() error { return e.life.Enter() }
