package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/etcd"
)

func init() {
	register(func(b config.Etcd, c *providers.Config) error {
		c.Options = etcd.Config{
			Endpoints: b.Endpoints, Prefix: b.Prefix, Username: b.Username, Password: b.Password,
			CACert: b.CACert, ClientCert: b.ClientCert, ClientKey: b.ClientKey,
			ConnectionTimeout: b.ConnectionTimeout, LeaseTTL: b.LeaseTTL,
		}
		return nil
	})
}
