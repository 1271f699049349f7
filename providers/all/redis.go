package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/redis"
)

func init() {
	register(func(b config.Redis, c *providers.Config) error {
		c.Retry.Count = retries(b.RetryCount)
		own := redis.Config{
			URL: b.URL, ClusterMode: b.ClusterMode, Database: b.Database, Username: b.Username, Password: b.Password,
			CACert: b.CACert, Prefix: b.Prefix, ConnectionTimeout: b.ConnectionTimeout, PoolSize: b.PoolSize,
			Partitions: b.Partitions, WaitReplicas: b.WaitReplicas, WaitTimeout: b.WaitTimeout,
		}
		if !b.ClusterMode {
			own.Partitions = 1
		}
		c.Options = own
		return nil
	})
}
