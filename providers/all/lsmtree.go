package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/lsmtree"
)

func init() {
	register(func(b config.LsmTree, c *providers.Config) error {
		d, err := b.Durability.Class()
		c.Options = lsmtree.Config{
			DataDir: b.DataDir, Durability: d, MemtableBytes: int64(b.MemtableSize), MaxMemtables: b.MaxMemtables,
			MaxLevels: b.MaxLevels, LevelSizeMultiplier: b.LevelSizeMultiplier, CompactionThreshold: b.CompactionThreshold,
			EnableBloomFilters: b.EnableBloomFilters, BloomFilterBitsPerKey: float64(b.BloomFilterBitsPerKey),
			Compression: string(b.Compression), CacheBytes: int64(b.BlockCache),
		}
		return err
	})
}
