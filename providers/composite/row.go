package composite

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/orbit-persistence/orbit/providers/driver"
)

const (
	rowVersion = 1
	rowHeader  = 9
	// keyOverhead is the most by which the key of a row is longer than the user's.
	keyOverhead = 3
)

var (
	controlKey = []byte{0, 0, 'c'}
	leaseKey   = []byte{0, 0, 'l'}
	// belowRows is above what the composite keeps for itself, and below all rows.
	belowRows = []byte{0, 0, 0xff}
)

// rowKey returns the key of the row of a user's key.
func rowKey(key []byte) []byte {
	if len(key) == 0 || key[0] != 0 {
		return key
	}
	return append([]byte{0, 1}, key[1:]...)
}

// userKey returns the user's key of a row.
func userKey(row []byte) []byte {
	if len(row) > 1 && row[0] == 0 {
		return append([]byte{0}, row[2:]...)
	}
	return row
}

func fenceKey(key []byte) []byte { return append([]byte{0, 0, 'f'}, key...) }

// lockedBy returns the user's key under whose lock a row or fence is changed.
func lockedBy(row []byte) []byte {
	if bytes.HasPrefix(row, []byte{0, 0, 'f'}) {
		return row[keyOverhead:]
	}
	return userKey(row)
}

// ownKey reports whether a row is of one side alone, and not to be copied.
func ownKey(row []byte) bool { return bytes.Equal(row, controlKey) || bytes.Equal(row, leaseKey) }

func encodeRow(revision uint64, value []byte) []byte {
	row := make([]byte, 0, rowHeader+len(value))
	row = append(row, rowVersion)
	row = binary.BigEndian.AppendUint64(row, revision)
	return append(row, value...)
}

func decodeRow(row []byte) (revision uint64, value []byte, err error) {
	if len(row) < rowHeader || row[0] != rowVersion {
		return 0, nil, fmt.Errorf("%w: a row of %d bytes, %x; this program knows version %d", driver.ErrCorrupt, len(row), row[:min(len(row), rowHeader)], rowVersion)
	}
	revision = binary.BigEndian.Uint64(row[1:])
	if revision == 0 {
		return 0, nil, fmt.Errorf("%w: a row without a revision", driver.ErrCorrupt)
	}
	return revision, row[rowHeader:], nil
}

// decodeEntry makes the user's entry of a side's.
func decodeEntry(e driver.Entry) (driver.Entry, error) {
	key := userKey(e.Key)
	revision, value, err := decodeRow(e.Value)
	if err != nil {
		return driver.Entry{}, driver.KeyError("decode", key, err)
	}
	return driver.Entry{Key: key, Value: value, Revision: driver.NumberRevision(revision), ExpiresAt: e.ExpiresAt}, nil
}

func encodeFence(token uint64) []byte { return encodeRow(token, nil) }

// revisions of one epoch have this many bits, and epochs the rest.
const countBits = 40

// maxEpoch is the last whose revisions have room.
const maxEpoch = 1<<(64-countBits) - 1

// nextEpoch returns the least number above epoch that says which side serves.
func nextEpoch(epoch uint64, serving int) (uint64, error) {
	epoch++
	if epoch%2 != uint64(serving) {
		epoch++
	}
	if epoch > maxEpoch {
		return 0, fmt.Errorf("%w: all %d epochs are used up; move the data to a new composite", driver.ErrReadOnly, maxEpoch)
	}
	return epoch, nil
}
