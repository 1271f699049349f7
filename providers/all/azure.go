package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/azure"
	"github.com/orbit-persistence/orbit/providers/config"
)

func init() {
	register(func(b config.Azure, c *providers.Config) error {
		c.Retry.Count = retries(b.RetryCount)
		c.Options = azure.Config{
			AccountName: b.AccountName, AccountKey: b.AccountKey, ConnectionString: b.ConnectionString, Container: b.Container,
			Endpoint: b.Endpoint, CACert: b.CACert, Prefix: b.Prefix,
			ConnectionTimeout: b.ConnectionTimeout, ReadTimeout: b.ReadTimeout, WriteTimeout: b.WriteTimeout,
			CustomerKey: b.CustomerKey, EncryptionScope: b.EncryptionScope,
		}
		return nil
	})
}
