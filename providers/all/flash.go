package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/flash"
)

func init() {
	register(func(b config.Flash, c *providers.Config) error {
		d, err := b.Durability.Class()
		own := flash.Config{
			DataDir: b.DataDir, Paths: b.Paths, Durability: d, IODepth: b.IODepth, BlockBytes: int(b.BlockSize), CacheBytes: int64(b.CacheSize),
			Compression: string(b.Compression), PageCache: b.PageCache, PathTimeout: b.PathTimeout, RebuildRate: int64(b.RebuildRate),
		}
		if b.EnableMultipathing {
			own.Replicas = b.Copies()
		}
		// What is 0 here is none at all, and there the default.
		if b.CacheSize == 0 {
			own.CacheBytes = -1
		}
		if b.RebuildRate == 0 {
			own.RebuildRate = -1
		}
		c.Options = own
		return err
	})
}
