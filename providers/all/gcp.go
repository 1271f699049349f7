package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/gcp"
)

func init() {
	register(func(b config.GoogleCloud, c *providers.Config) error {
		c.Retry.Count = retries(b.RetryCount)
		c.Options = gcp.Config{
			ProjectID: b.ProjectID, RequesterPays: b.RequesterPays, Bucket: b.Bucket,
			CredentialsPath: b.CredentialsPath, ServiceAccountKey: b.ServiceAccountKey, Endpoint: b.Endpoint, CACert: b.CACert, Prefix: b.Prefix,
			ConnectionTimeout: b.ConnectionTimeout, ReadTimeout: b.ReadTimeout, WriteTimeout: b.WriteTimeout, KMSKeyName: b.KMSKeyName,
		}
		return nil
	})
}
