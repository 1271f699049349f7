package etcd

import "crypto/tls"

// TLS returns how connections are made safe.
func TLS(c Config) (*tls.Config, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	return c.tls()
}
