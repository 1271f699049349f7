//go:build rocksdb

package rocks

import (
	"bytes"
	"encoding/binary"

	"github.com/orbit-persistence/orbit/engine"
)

// The encoding of RocksDB's write batches, as db/write_batch.cc documents it: a
// sequence number (8 bytes), the number of records (4), and the records, each a
// tag, the family where it is not the default one, the key and the value, with
// lengths and family as varints. The log and replication have the same.
const (
	writeBatchHeader = 12
	writeBatchCount  = 8 // offset of the number
)

// tags are the kinds of record, for the default family and for others.
var tags = [...]struct{ plain, inFamily byte }{
	engine.OpPut:         {0x01, 0x05},
	engine.OpDelete:      {0x00, 0x04},
	engine.OpDeleteRange: {0x0F, 0x0E},
}

// appendWriteBatch appends b in RocksDB's encoding to dst, and returns it with
// the number of its records. Empty ranges are left out: RocksDB refuses them.
func appendWriteBatch(dst []byte, b *engine.Batch) ([]byte, int) {
	start := len(dst)
	var header [writeBatchHeader]byte
	dst = append(dst, header[:]...)
	count := 0
	for op := range b.Ops() {
		if op.Kind == engine.OpDeleteRange && bytes.Compare(op.Key, op.Value) >= 0 {
			continue
		}
		if op.Family == 0 {
			dst = append(dst, tags[op.Kind].plain)
		} else {
			dst = binary.AppendUvarint(append(dst, tags[op.Kind].inFamily), uint64(op.Family))
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(op.Key))), op.Key...)
		if op.Kind != engine.OpDelete {
			dst = append(binary.AppendUvarint(dst, uint64(len(op.Value))), op.Value...)
		}
		count++
	}
	binary.LittleEndian.PutUint32(dst[start+writeBatchCount:], uint32(count))
	return dst, count
}
