package engine

import "fmt"

// The limits of the hand-built engines. An engine with others publishes its own
// in Traits.Limits; callers that must run on any engine ask there.
const (
	// MaxKeyBytes is the longest key. The empty key is a key.
	MaxKeyBytes = 64 << 10
	// MaxValueBytes is the longest value.
	MaxValueBytes = 128 << 20
	// MaxBatchBytes is the largest encoded batch.
	MaxBatchBytes = 256 << 20
)

// Limits bound what an engine stores, in bytes.
type Limits struct {
	// NoEmptyKey is set for engines that refuse the empty key.
	NoEmptyKey    bool
	MaxKeyBytes   int
	MaxValueBytes int
	// MaxBatchBytes bounds Batch.Size. It is not below what one largest key with
	// one largest value needs.
	MaxBatchBytes int
}

// DefaultLimits are the limits of the hand-built engines.
func DefaultLimits() Limits {
	return Limits{MaxKeyBytes: MaxKeyBytes, MaxValueBytes: MaxValueBytes, MaxBatchBytes: MaxBatchBytes}
}

// Check returns ErrTooLarge or ErrInvalid, naming the operation and key, if any
// operation of b exceeds the limits. It reads the operations only where their
// largest sizes, which the batch keeps, do not already settle it.
func (l Limits) Check(b *Batch) error {
	if b.Size() > l.MaxBatchBytes {
		return fmt.Errorf("%w: batch of %d bytes; the limit is %d", ErrTooLarge, b.Size(), l.MaxBatchBytes)
	}
	if b.maxKey <= l.MaxKeyBytes && b.maxValue <= l.MaxValueBytes && !(l.NoEmptyKey && b.emptyKey) {
		return nil
	}
	for op := range b.Ops() {
		if len(op.Key) > l.MaxKeyBytes {
			return KeyError(op.Kind.String(), op.Key, fmt.Errorf("%w: key of %d bytes; the limit is %d", ErrTooLarge, len(op.Key), l.MaxKeyBytes))
		}
		switch op.Kind {
		case OpDeleteRange:
			if len(op.Value) > l.MaxKeyBytes {
				return KeyError(op.Kind.String(), op.Value, fmt.Errorf("%w: upper bound of %d bytes; the limit is %d", ErrTooLarge, len(op.Value), l.MaxKeyBytes))
			}
		default:
			if l.NoEmptyKey && len(op.Key) == 0 {
				return KeyError(op.Kind.String(), op.Key, fmt.Errorf("%w: this engine has no empty key", ErrInvalid))
			}
			if len(op.Value) > l.MaxValueBytes {
				return KeyError(op.Kind.String(), op.Key, fmt.Errorf("%w: value of %d bytes; the limit is %d", ErrTooLarge, len(op.Value), l.MaxValueBytes))
			}
		}
	}
	return nil
}
