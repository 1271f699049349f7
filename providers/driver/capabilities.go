package driver

import (
	"bytes"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// Durability is what a write survives once a store has acknowledged it.
type Durability uint8

const (
	// InMemory: nothing; it is gone with the process.
	InMemory Durability = iota
	// SurvivesProcess: the death of the process, as the kernel has it.
	SurvivesProcess
	// SurvivesPower: a loss of power, as a device has flushed it.
	SurvivesPower
	// InService: what the remote service promises for an acknowledged write.
	InService
)

// String returns "memory", "process", "power" or "service".
func (d Durability) String() string {
	if names := [...]string{"memory", "process", "power", "service"}; int(d) < len(names) {
		return names[d]
	}
	return fmt.Sprintf("durability(%d)", uint8(d))
}

// Limits bound what a store takes, in bytes; they are published so that callers
// can ask before they write. Beyond them is ErrTooLarge, and nothing is applied.
type Limits struct {
	MaxKeyBytes, MaxValueBytes int
	// MaxCommitWrites bounds the writes of one Commit, MaxCommitBytes their keys
	// and values together; 0 where the store is no Committer.
	MaxCommitWrites, MaxCommitBytes int
}

// Capabilities tell what a store can do. A boolean that names an interface is
// true if and only if the store implements it.
type Capabilities struct {
	// Backend is the selector under which it is registered: "cow_btree".
	Backend string
	// Version names what is behind it: "Pebble v2.1.7".
	Version string
	// Durability is what an acknowledged write survives.
	Durability Durability
	// Caveat says, in words, what can take an acknowledged write all the same; "" if
	// nothing can.
	Caveat string
	// Remote stores are reached over a wire, so that a call can fail by itself;
	// retries and a circuit breaker stand before them.
	Remote bool
	// Shared stores can be open in several processes at once.
	Shared bool
	// Persistent stores show the same data when they are opened again.
	Persistent bool
	// TTL: PutOptions.TTL is taken.
	TTL bool
	// Fence: the Fence of a put, a delete and a commit is taken.
	Fence bool
	// RangeReads: Commit.Ranges is taken, so that transactions may list.
	RangeReads bool
	// Staleness is how old what a read shows may be; 0 is not at all.
	Staleness time.Duration
	Limits    Limits

	Commit     bool // Committer
	BatchGet   bool // BatchGetter
	BulkPut    bool // BulkPutter
	Snapshot   bool // Snapshotter
	Named      bool // NamedSnapshotter
	Watch      bool // Watcher
	Clock      bool // Clock
	Expire     bool // Expirer
	Checkpoint bool // Checkpointer
	Compact    bool // Compacter
	Report     bool // Reporter
}

// CheckKey returns the ErrInvalid or ErrTooLarge of a key that no store with these
// limits takes. Stores call it for every key.
func (l Limits) CheckKey(op string, key []byte) error {
	switch {
	case len(key) == 0:
		return engine.KeyError(op, key, fmt.Errorf("%w: a key has at least one byte", engine.ErrInvalid))
	case len(key) > l.MaxKeyBytes:
		return engine.KeyError(op, key, fmt.Errorf("%w: key of %d bytes; the limit is %d", engine.ErrTooLarge, len(key), l.MaxKeyBytes))
	}
	return nil
}

// CheckPut returns the error of a put that is to be refused before anything is
// sent: by the limits, an option that contradicts another, or one that the store
// does not take. Stores call it first.
func (c *Capabilities) CheckPut(key, value []byte, o PutOptions) error {
	if err := c.Limits.CheckKey("put", key); err != nil {
		return err
	}
	switch {
	case len(value) > c.Limits.MaxValueBytes:
		return engine.KeyError("put", key, fmt.Errorf("%w: value of %d bytes; the limit is %d", engine.ErrTooLarge, len(value), c.Limits.MaxValueBytes))
	case o.IfAbsent && !o.IfRevision.IsZero():
		return engine.KeyError("put", key, fmt.Errorf("%w: a key cannot be absent and at a revision", engine.ErrInvalid))
	}
	return c.checkOptions("put", key, o.TTL, o.Fence)
}

// CheckDelete is CheckPut for a delete.
func (c *Capabilities) CheckDelete(key []byte, o DeleteOptions) error {
	if err := c.Limits.CheckKey("delete", key); err != nil {
		return err
	}
	return c.checkOptions("delete", key, 0, o.Fence)
}

// CheckCommit is CheckPut for a commit. It also refuses a key that is written
// twice.
func (c *Capabilities) CheckCommit(m *Commit) error {
	if len(m.Ranges) > 0 && !c.RangeReads {
		return fmt.Errorf("commit: %w: this store cannot tell whether a range has changed; read keys instead", engine.ErrUnsupported)
	}
	for i := range m.Reads {
		if err := c.Limits.CheckKey("commit", m.Reads[i].Key); err != nil {
			return err
		}
	}
	if len(m.Writes) > c.Limits.MaxCommitWrites {
		return fmt.Errorf("commit: %w: %d writes; the limit is %d", engine.ErrTooLarge, len(m.Writes), c.Limits.MaxCommitWrites)
	}
	size := 0
	for i := range m.Writes {
		w := &m.Writes[i]
		size += len(w.Key) + len(w.Value)
		if err := c.CheckPut(w.Key, w.Value, PutOptions{TTL: w.TTL, Fence: w.Fence}); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	if size > c.Limits.MaxCommitBytes {
		return fmt.Errorf("commit: %w: %d bytes; the limit is %d", engine.ErrTooLarge, size, c.Limits.MaxCommitBytes)
	}
	return checkDistinct(m.Writes)
}

func checkDistinct(writes []Write) error {
	ascending := true
	for i := 1; i < len(writes) && ascending; i++ {
		ascending = bytes.Compare(writes[i-1].Key, writes[i].Key) < 0
	}
	if ascending {
		return nil
	}
	seen := make(map[string]struct{}, len(writes))
	for i := range writes {
		if _, twice := seen[string(writes[i].Key)]; twice {
			return engine.KeyError("commit", writes[i].Key, fmt.Errorf("%w: the key is written twice", engine.ErrInvalid))
		}
		seen[string(writes[i].Key)] = struct{}{}
	}
	return nil
}

func (c *Capabilities) checkOptions(op string, key []byte, ttl time.Duration, fence uint64) error {
	switch {
	case ttl < 0:
		return engine.KeyError(op, key, fmt.Errorf("%w: a TTL of %s", engine.ErrInvalid, ttl))
	case ttl > 0 && !c.TTL:
		return engine.KeyError(op, key, fmt.Errorf("%w: %s keeps no time; entries without a TTL only", engine.ErrUnsupported, c.Backend))
	case fence != 0 && !c.Fence:
		return engine.KeyError(op, key, fmt.Errorf("%w: %s checks no fencing tokens", engine.ErrUnsupported, c.Backend))
	}
	return nil
}
