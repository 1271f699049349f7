package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/cowbtree"
)

func init() {
	register(func(b config.CowBTree, c *providers.Config) error {
		d, err := b.Durability.Class()
		c.Options = cowbtree.Config{
			DataDir: b.DataDir, Durability: d, CacheBytes: int64(b.CacheSize), MaxKeysPerNode: b.MaxKeysPerNode,
			WALBufferSize: int64(b.WALBufferSize), WALSyncInterval: b.WALSyncInterval,
			EnableSnapshots: b.EnableSnapshots, SnapshotInterval: uint64(b.SnapshotInterval), MaxAutomaticSnapshots: b.MaxAutomaticSnapshots,
			Compression: string(b.Compression),
		}
		return err
	})
}
