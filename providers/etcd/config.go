package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// Config sets up a store. The zero value takes every default.
type Config struct {
	// Endpoints are the URLs of the cluster's members, all http:// or all https://;
	// none is http://localhost:2379.
	Endpoints []string
	// Prefix begins every key, followed by "/"; "" is no prefix. Stores of different
	// prefixes have nothing to do with each other, unless one begins with the other and
	// "/". At most 128 bytes.
	Prefix string
	// Username and Password are the credentials where etcd's authentication is on.
	// Where it is off they are refused, as they would do nothing.
	Username string
	// Password belongs to Username.
	Password config.Secret
	// CACert is a file with the certificate authorities to trust, in PEM; "" is the
	// system's.
	CACert string
	// ClientCert and ClientKey are files with the certificate that the client shows,
	// and its key, in PEM. They are read anew for each connection.
	ClientCert string
	// ClientKey belongs to ClientCert.
	ClientKey string
	// ConnectionTimeout bounds the making of a connection; 0 is 5 s.
	ConnectionTimeout time.Duration
	// LeaseTTL is how long what Bind has put outlives its client, in whole seconds; 0
	// is 300 s.
	LeaseTTL time.Duration
}

const maxPrefixBytes = 128

// complete puts the defaults in, and returns the ErrInvalid of what cannot be.
func (c *Config) complete() error {
	if len(c.Endpoints) == 0 {
		c.Endpoints = []string{"http://localhost:2379"}
	}
	if c.ConnectionTimeout == 0 {
		c.ConnectionTimeout = 5 * time.Second
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 300 * time.Second
	}
	for i, endpoint := range c.Endpoints {
		u, err := url.Parse(endpoint)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "":
			return invalid("endpoint %d is not http:// or https:// with a host and a port", i)
		case u.User != nil:
			return invalid("endpoint %d holds a user; Username and Password are for that", i)
		case strings.HasPrefix(endpoint, "https:") != strings.HasPrefix(c.Endpoints[0], "https:"):
			return invalid("some endpoints are http:// and some are https://")
		}
	}
	switch {
	case len(c.Prefix) > maxPrefixBytes:
		return invalid("a prefix of %d bytes; the limit is %d", len(c.Prefix), maxPrefixBytes)
	case (c.Username == "") != c.Password.IsZero():
		return invalid("one of Username and Password is given without the other")
	case (c.ClientCert == "") != (c.ClientKey == ""):
		return invalid("one of ClientCert and ClientKey is given without the other")
	case !c.secure() && (c.CACert != "" || c.ClientCert != ""):
		return invalid("certificates do nothing with http://; write https://")
	case c.ConnectionTimeout < 0:
		return invalid("a connection timeout of %s", c.ConnectionTimeout)
	case c.LeaseTTL < time.Second || c.LeaseTTL%time.Second != 0:
		return invalid("a lease TTL of %s; etcd counts in whole seconds", c.LeaseTTL)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", driver.ErrInvalid, fmt.Sprintf(format, args...))
}

func (c *Config) secure() bool { return strings.HasPrefix(c.Endpoints[0], "https:") }

// tls returns how connections are made safe, nil if they are not.
func (c *Config) tls() (*tls.Config, error) {
	if !c.secure() {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CACert != "" {
		pem, err := os.ReadFile(c.CACert)
		if err != nil {
			return nil, fmt.Errorf("%w: CACert: %w", driver.ErrInvalid, err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, invalid("CACert: %s holds no certificate in PEM", c.CACert)
		}
	}
	if c.ClientCert != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
			if err != nil {
				return nil, fmt.Errorf("%w: ClientCert and ClientKey: %w", driver.ErrInvalid, err)
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return t, nil
}
