// Package minio is the provider over MinIO. Importing it registers the backend "minio".
//
// It is package s3 with MinIO's own words. Tenants have buckets of their own, or
// prefixes in one bucket, and users whose policy names that alone; see package s3 for
// the rights that a store needs.
//
// MinIO deletes without a look at the condition of a delete, so that a deleted key
// leaves a tombstone of 16 bytes; see package s3. Switch versioning on for the bucket
// (mc version enable), and Compact removes them.
package minio

import (
	"context"
	"time"

	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/s3"
)

// Backend is the selector.
const Backend = "minio"

func init() {
	driver.Register(Backend, func(ctx context.Context, options any) (driver.Store, error) {
		c, err := driver.Options(options, Defaults())
		if err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
}

// Config sets up a store; Defaults is where to begin. The fields are those of
// config.MinIO, where each is explained; how often a call is repeated stands in
// providers.Retry.
type Config struct {
	// Endpoint is the server's URL, or its host and port.
	Endpoint string
	// AccessKey and SecretKey are the credentials.
	AccessKey string
	SecretKey config.Secret
	// Bucket must exist. Region is what the server was told that it is in.
	Bucket, Region string
	// Secure sends everything over TLS. CACert is a file in PEM with the authority to
	// trust instead of the system's.
	Secure bool
	CACert string
	// Prefix begins the name of every object, followed by "/".
	Prefix string
	// ConnectionTimeout bounds the making of a connection, the others each request;
	// 0 leaves those to the caller's context.
	ConnectionTimeout, ReadTimeout, WriteTimeout time.Duration
}

// Defaults returns the defaults. Endpoint, credentials and Bucket have none.
func Defaults() Config {
	d := config.Default[config.MinIO]()
	return Config{
		Region: d.Region, Secure: d.Secure,
		ConnectionTimeout: d.ConnectionTimeout, ReadTimeout: d.ReadTimeout, WriteTimeout: d.WriteTimeout,
	}
}

// Open opens the store. The bucket must exist.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	own := config.MinIO{
		Endpoint: c.Endpoint, AccessKey: c.AccessKey, SecretKey: c.SecretKey, Bucket: c.Bucket, Region: c.Region, Secure: c.Secure, CACert: c.CACert,
		Prefix: c.Prefix, ConnectionTimeout: c.ConnectionTimeout, ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout,
	}
	if err := own.Validate(); err != nil {
		return nil, err
	}
	same := own.S3()
	return s3.OpenAs(ctx, Backend, s3.Config{
		Endpoint: same.Endpoint, Region: same.Region, Bucket: same.Bucket, Prefix: same.Prefix,
		AccessKeyID: same.AccessKeyID, SecretAccessKey: same.SecretAccessKey,
		EnableSSL: same.EnableSSL, CACert: same.CACert, PathStyle: same.PathStyle,
		ConnectionTimeout: same.ConnectionTimeout, ReadTimeout: same.ReadTimeout, WriteTimeout: same.WriteTimeout,
		Encryption: same.Encryption,
	})
}

// Metadata is what the server tells of an object beside its bytes.
type Metadata = s3.Metadata

// Describe is that of package s3.
func Describe(ctx context.Context, store driver.Store, key []byte) (Metadata, error) {
	return s3.Describe(ctx, store, key)
}
