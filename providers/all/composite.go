package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/composite"
	"github.com/orbit-persistence/orbit/providers/config"
)

func init() {
	register(func(b config.Composite, c *providers.Config) error {
		primary, err := side(c.Name+".primary", b.Primary)
		if err != nil {
			return err
		}
		backup, err := side(c.Name+".backup", b.Backup)
		if err != nil {
			return err
		}
		c.Options = composite.Config{
			Primary: primary, Backup: backup, Mode: composite.Mode(b.Mode), AllowSingle: b.AllowSingle, SyncInterval: b.SyncInterval,
			HealthCheckInterval: b.HealthCheckInterval, FailoverThreshold: b.FailoverThreshold, LeaseTTL: b.LeaseTTL, RequestTimeout: b.RequestTimeout,
		}
		return nil
	})
}

// side maps one of the two providers of a composite.
func side(name string, b config.Backend) (composite.Side, error) {
	c, err := Config(name, b)
	return composite.Side{Backend: c.Backend, Options: c.Options, Retries: max(0, c.Retry.Count)}, err
}
