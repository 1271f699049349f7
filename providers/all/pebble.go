package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/pebble"
)

func init() {
	register(func(b config.Pebble, c *providers.Config) error {
		d, err := b.Durability.Class()
		o := pebble.Config{
			DataDir: b.DataDir, Durability: d, CacheBytes: int64(b.BlockCache), MemtableBytes: int64(b.MemtableSize),
			BloomBitsPerKey: b.BloomFilterBitsPerKey, CompactionThreshold: b.CompactionThreshold, MaxOpenFiles: b.MaxOpenFiles,
			Compression: string(b.Compression),
		}
		if !b.EnableBloomFilters {
			o.BloomBitsPerKey = -1
		}
		c.Options = o
		return err
	})
}
