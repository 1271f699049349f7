package redis

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
	// URL is redis://host:port or, over TLS, rediss://host:port; "" is
	// redis://localhost:6379. Of a cluster it is one member, by which the others are found.
	URL string
	// ClusterMode speaks to a Redis cluster. It must be what the server is.
	ClusterMode bool
	// Database is the number of the database; a cluster has 0 only.
	Database int
	// Username is the user of Redis's access control; "" is the default user.
	Username string
	// Password is the user's, or the server's.
	Password config.Secret
	// CACert is a file with the certificate authorities to trust, in PEM; "" is the
	// system's.
	CACert string
	// Prefix begins every key, followed by ":"; "" is no prefix. It has no braces.
	Prefix string
	// ConnectionTimeout bounds the making of a connection; 0 is 5 s.
	ConnectionTimeout time.Duration
	// PoolSize is the most connections, to each member of a cluster; 0 is 10. Each watch
	// has its own beside them.
	PoolSize int
	// Partitions is over how many hash slots of a cluster keys are spread; 0 is 64. With 1
	// all keys are in one slot, and every transaction is one script. It cannot be changed
	// once something is stored, and is 1 without ClusterMode.
	Partitions int
	// WaitReplicas is how many replicas must have a write before it is acknowledged; one
	// that has too few within WaitTimeout is ErrOutcomeUnknown. 0 waits for none.
	WaitReplicas int
	// WaitTimeout is how long a write waits for its replicas; 0 is 1 s.
	WaitTimeout time.Duration
}

const (
	maxPrefixBytes = 128
	maxPartitions  = 1024
)

// complete puts the defaults in, and returns the ErrInvalid of what cannot be.
func (c *Config) complete() error {
	set(&c.URL, "redis://localhost:6379")
	set(&c.ConnectionTimeout, 5*time.Second)
	set(&c.PoolSize, 10)
	set(&c.WaitTimeout, time.Second)
	if !c.ClusterMode {
		set(&c.Partitions, 1)
	}
	set(&c.Partitions, 64)
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "redis" && u.Scheme != "rediss":
		return invalid("URL is not redis:// or rediss:// with a host and a port")
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return invalid("URL has more than a host and a port; user, password and database have fields of their own")
	case u.Scheme == "redis" && c.CACert != "":
		return invalid("CACert does nothing with redis://; write rediss://")
	case c.Username != "" && c.Password.IsZero():
		return invalid("Username without Password")
	case c.ClusterMode && c.Database != 0:
		return fmt.Errorf("%w: a cluster has database 0 only, not %d", driver.ErrUnsupported, c.Database)
	case !c.ClusterMode && c.Partitions != 1:
		return invalid("%d partitions without ClusterMode", c.Partitions)
	case c.Partitions < 1 || c.Partitions > maxPartitions:
		return invalid("%d partitions; from 1 to %d are possible", c.Partitions, maxPartitions)
	case len(c.Prefix) > maxPrefixBytes || strings.ContainsAny(c.Prefix, "{}"):
		return invalid("a prefix of %d bytes; up to %d are possible, without braces", len(c.Prefix), maxPrefixBytes)
	case c.Database < 0 || c.ConnectionTimeout < 0 || c.PoolSize < 0 || c.WaitReplicas < 0 || c.WaitTimeout < 0:
		return invalid("a number below 0")
	}
	return nil
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", driver.ErrInvalid, fmt.Sprintf(format, args...))
}

func (c *Config) address() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "" // complete has refused it
	}
	if u.Port() == "" {
		return u.Hostname() + ":6379"
	}
	return u.Host
}

// tls returns how connections are made safe, nil if they are not.
func (c *Config) tls() (*tls.Config, error) {
	if !strings.HasPrefix(c.URL, "rediss:") {
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
	return t, nil
}
