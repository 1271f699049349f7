package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/memory"
)

func init() {
	register(func(b config.Memory, c *providers.Config) error {
		o := memory.Config{MaxEntries: uint64(b.MaxEntries), MaxBytes: uint64(b.MaxBytes), Evict: b.WhenFull == config.Evict}
		if d := b.DiskBackup; d != nil {
			o.DiskBackup = &memory.DiskBackup{Path: d.Path, SyncInterval: d.SyncInterval, Compression: map[config.Compression]memory.Compression{
				config.NoCompression: memory.None, config.Gzip: memory.Gzip, config.LZ4: memory.LZ4, config.Zstd: memory.Zstd,
			}[d.Compression]}
		}
		c.Options = o
		return nil
	})
}
