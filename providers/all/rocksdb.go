package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/rocksdb"
)

// Without the build tag rocksdb it is linked too, and opening it says how to build.
func init() {
	register(func(b config.RocksDB, c *providers.Config) error {
		d, err := b.Durability.Class()
		c.Options = rocksdb.Config{
			DataDir: b.DataDir, Durability: d, CacheBytes: uint64(b.BlockCache), WriteBufferBytes: uint64(b.WriteBuffer),
			MaxWriteBuffers: b.MaxWriteBufferNumber, TargetFileBytes: uint64(b.TargetFileSize), MaxBackgroundJobs: b.MaxBackgroundJobs,
			Compression: string(b.Compression), EnableStatistics: b.EnableStatistics,
		}
		return err
	})
}
