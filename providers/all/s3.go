package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/s3"
)

func init() {
	register(func(b config.S3, c *providers.Config) error {
		c.Retry.Count = retries(b.RetryCount)
		c.Options = s3.Config{
			Endpoint: b.Endpoint, Region: b.Region, Bucket: b.Bucket, Prefix: b.Prefix,
			AccessKeyID: b.AccessKeyID, SecretAccessKey: b.SecretAccessKey, SessionToken: b.SessionToken,
			EnableSSL: b.EnableSSL, CACert: b.CACert, PathStyle: b.PathStyle,
			ConnectionTimeout: b.ConnectionTimeout, ReadTimeout: b.ReadTimeout, WriteTimeout: b.WriteTimeout,
			Encryption: b.Encryption, KMSKeyID: b.KMSKeyID, CustomerKey: b.CustomerKey,
		}
		return nil
	})
}

// retries returns a retry_count as providers.Retry has it, where 0 is the default.
func retries(count int) int {
	if count == 0 {
		return -1
	}
	return count
}
