package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/minio"
)

func init() {
	register(func(b config.MinIO, c *providers.Config) error {
		c.Retry.Count = retries(b.RetryCount)
		c.Options = minio.Config{
			Endpoint: b.Endpoint, AccessKey: b.AccessKey, SecretKey: b.SecretKey, Bucket: b.Bucket, Region: b.Region,
			Secure: b.Secure, CACert: b.CACert, Prefix: b.Prefix,
			ConnectionTimeout: b.ConnectionTimeout, ReadTimeout: b.ReadTimeout, WriteTimeout: b.WriteTimeout,
		}
		return nil
	})
}
