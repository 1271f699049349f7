// Package s3 is the provider over Amazon S3, and over services that speak its
// protocol. Importing it registers the backend "s3".
//
// How objects are named and what stands in them, what a delete does where the service
// ignores its condition, and what an error says of a write, is told by the
// documentation of the format, in providers/internal/objects. The service must look at
// the conditions of a put (If-None-Match and If-Match), which is tried out when a
// store is opened. Amazon S3 does since November 2024.
//
// # Rights
//
// A policy for a bucket of its own needs these, and no others:
//
//	s3:GetObject, s3:PutObject, s3:DeleteObject on arn:aws:s3:::BUCKET/PREFIX/*
//	s3:ListBucket on arn:aws:s3:::BUCKET
//
// Where Compact is to be called on a bucket that keeps versions, these too:
// s3:ListBucketVersions on the bucket, s3:DeleteObjectVersion on its objects.
package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
)

// Backend is the selector.
const Backend = "s3"

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
// config.S3, where each is explained; how often a call is repeated stands in
// providers.Retry.
type Config struct {
	// Endpoint is the service's URL; "" is Amazon's in Region.
	Endpoint, Region, Bucket string
	// AccessKeyID and the two secrets are credentials; without them the SDK's default
	// chain is asked, and renews what it finds.
	AccessKeyID                   string
	SecretAccessKey, SessionToken config.Secret
	// Prefix begins the name of every object, followed by "/".
	Prefix string
	// EnableSSL sends everything over TLS. CACert is a file in PEM with the authority
	// to trust instead of the system's.
	EnableSSL bool
	CACert    string
	// PathStyle puts the bucket into the path of URLs.
	PathStyle bool
	// ConnectionTimeout bounds the making of a connection, the others each request;
	// 0 leaves those to the caller's context.
	ConnectionTimeout, ReadTimeout, WriteTimeout time.Duration
	// Encryption is that of the server: with its own keys, with KMSKeyID, or with
	// CustomerKey, 32 bytes in base64.
	Encryption  config.Encryption
	KMSKeyID    string
	CustomerKey config.Secret
}

// Defaults returns the defaults. Bucket has none.
func Defaults() Config {
	d := config.Default[config.S3]()
	return Config{
		Region: d.Region, EnableSSL: d.EnableSSL, PathStyle: d.PathStyle, Encryption: d.Encryption,
		ConnectionTimeout: d.ConnectionTimeout, ReadTimeout: d.ReadTimeout, WriteTimeout: d.WriteTimeout,
	}
}

// validate reports every mistake, in the words of package config.
func (c *Config) validate() error {
	return config.S3{
		Endpoint: c.Endpoint, Region: c.Region, Bucket: c.Bucket, AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey,
		SessionToken: c.SessionToken, Prefix: c.Prefix, EnableSSL: c.EnableSSL, CACert: c.CACert, PathStyle: c.PathStyle,
		ConnectionTimeout: c.ConnectionTimeout, ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout,
		Encryption: c.Encryption, KMSKeyID: c.KMSKeyID, CustomerKey: c.CustomerKey,
	}.Validate()
}

// Open opens the store. The bucket must exist.
func Open(ctx context.Context, c Config) (driver.Store, error) { return OpenAs(ctx, Backend, c) }

// OpenAs is Open for a backend of another name that speaks the same protocol.
func OpenAs(ctx context.Context, backend string, c Config) (driver.Store, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	transport, err := objects.Dial(c.CACert, c.ConnectionTimeout)
	if err != nil {
		return nil, err
	}
	b, err := newBucket(ctx, &c, transport)
	if err != nil {
		return nil, err
	}
	return objects.Open(ctx, b, objects.Options{
		Backend: backend, Version: "S3 protocol, aws-sdk-go-v2 " + aws.SDKVersion, Prefix: c.Prefix,
		ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout,
	})
}

// Metadata is what the service tells of an object beside its bytes: its version, where
// the bucket keeps versions, and its encryption.
type Metadata = objects.Metadata

// Describe returns what the service tells of a key's object. The store is one that this
// package has opened, as Provider.Driver returns it; any other is ErrUnsupported.
func Describe(ctx context.Context, store driver.Store, key []byte) (Metadata, error) {
	return objects.Describe(ctx, store, key)
}

// newClient returns the SDK's client. It repeats nothing and logs nothing.
func newClient(ctx context.Context, c *Config, transport http.RoundTripper) (*s3.Client, error) {
	sdk := aws.Config{Region: c.Region, Logger: logging.Nop{}}
	if c.AccessKeyID != "" {
		sdk.Credentials = credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey.Reveal(), c.SessionToken.Reveal())
	} else {
		var err error
		if sdk, err = awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(c.Region), awsconfig.WithLogger(logging.Nop{})); err != nil {
			return nil, fmt.Errorf("%w: the SDK's default configuration: %v", driver.ErrInvalid, err) //nolint // it has no kind of ours
		}
		sdk.Credentials = chain{sdk.Credentials}
	}
	return s3.NewFromConfig(sdk, func(o *s3.Options) {
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
		}
		o.EndpointOptions.DisableHTTPS = !c.EnableSSL
		o.UsePathStyle = c.PathStyle
		o.Retryer = aws.NopRetryer{}
		o.DisableLogOutputChecksumValidationSkipped = true
		o.HTTPClient = &http.Client{
			Transport:     objects.Transport(transport),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}), nil
}

// chain is the SDK's default chain of credentials, whose failure is told apart from
// that of the service.
type chain struct{ aws.CredentialsProvider }

func (c chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	v, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: the SDK's default chain has no credentials; set access_key_id and secret_access_key, or give it some: %v", driver.ErrDenied, err) //nolint // the wire of another service
	}
	return v, err
}

// bucket is objects.Bucket over the SDK.
type bucket struct {
	client    *s3.Client
	transport *http.Transport
	name      *string
	sse       types.ServerSideEncryption
	kmsKey    *string
	// customer is the algorithm, key and hash of the customer's key; nil without.
	customer, customerKey, customerHash *string
	versioned                           flag
	unguarded                           atomic.Bool
}

func newBucket(ctx context.Context, c *Config, transport *http.Transport) (*bucket, error) {
	client, err := newClient(ctx, c, transport)
	if err != nil {
		return nil, err
	}
	b := &bucket{client: client, transport: transport, name: aws.String(c.Bucket)}
	switch c.Encryption {
	case config.EncryptionS3:
		b.sse = types.ServerSideEncryptionAes256
	case config.EncryptionKMS:
		b.sse = types.ServerSideEncryptionAwsKms
		if c.KMSKeyID != "" {
			b.kmsKey = aws.String(c.KMSKeyID)
		}
	case config.EncryptionCustomer:
		key, err := base64.StdEncoding.DecodeString(c.CustomerKey.Reveal())
		if err != nil {
			return nil, fmt.Errorf("%w: customer_key must be in base64", driver.ErrInvalid)
		}
		hash := md5.Sum(key) // the protocol has it so
		b.customer = aws.String("AES256")
		b.customerKey = aws.String(c.CustomerKey.Reveal())
		b.customerHash = aws.String(base64.StdEncoding.EncodeToString(hash[:]))
	}
	return b, nil
}

// UnguardedDeletes implements objects.Unguarded. versitygw v1.8.0 is such a service: its
// DeleteObject does not take the lock that its PutObject takes.
func (b *bucket) UnguardedDeletes() bool { return b.unguarded.Load() }

func (b *bucket) Close() { b.transport.CloseIdleConnections() }

func (b *bucket) Ping(ctx context.Context) error {
	_, err := b.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: b.name})
	if err = b.classify(err, asks); errors.Is(err, driver.ErrNotFound) {
		return b.missing()
	}
	return err
}

func (b *bucket) Get(ctx context.Context, name string) ([]byte, driver.Revision, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: b.name, Key: &name, SSECustomerAlgorithm: b.customer, SSECustomerKey: b.customerKey, SSECustomerKeyMD5: b.customerHash,
	})
	if err != nil {
		return nil, driver.Revision{}, b.classify(err, reads)
	}
	defer out.Body.Close()
	data, err := objects.ReadAll(out.Body, aws.ToInt64(out.ContentLength))
	if err != nil {
		return nil, driver.Revision{}, err
	}
	return data, tag(out.ETag), nil
}

func (b *bucket) Put(ctx context.Context, name string, data []byte, c objects.Condition) (driver.Revision, error) {
	in := &s3.PutObjectInput{
		Bucket: b.name, Key: &name, Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
		ServerSideEncryption: b.sse, SSEKMSKeyId: b.kmsKey,
		SSECustomerAlgorithm: b.customer, SSECustomerKey: b.customerKey, SSECustomerKeyMD5: b.customerHash,
	}
	switch {
	case c.Absent:
		in.IfNoneMatch = aws.String("*")
	case !c.At.IsZero():
		in.IfMatch = aws.String(c.At.Tag())
	}
	out, err := b.client.PutObject(ctx, in)
	if err != nil {
		if err = b.classify(err, writes); errors.Is(err, driver.ErrNotFound) && !c.At.IsZero() {
			err = fmt.Errorf("%w: there is no object", driver.ErrConflict)
		}
		return driver.Revision{}, err
	}
	b.versioned.note(out.VersionId)
	if r, ok := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response); ok && r.Header.Get("Server") == "VERSITYGW" {
		b.unguarded.Store(true)
	}
	return tag(out.ETag), nil
}

func (b *bucket) Delete(ctx context.Context, name string, at driver.Revision) error {
	in := &s3.DeleteObjectInput{Bucket: b.name, Key: &name}
	if !at.IsZero() {
		in.IfMatch = aws.String(at.Tag())
	}
	_, err := b.client.DeleteObject(ctx, in)
	err = b.classify(err, writes)
	switch {
	case errors.Is(err, driver.ErrNotFound) && at.IsZero():
		return nil
	case errors.Is(err, driver.ErrNotFound):
		return fmt.Errorf("%w: there is no object", driver.ErrConflict)
	}
	return err
}

func (b *bucket) List(ctx context.Context, prefix, after string, limit int) ([]objects.Listed, bool, error) {
	in := &s3.ListObjectsV2Input{Bucket: b.name, Prefix: &prefix, MaxKeys: aws.Int32(int32(limit))}
	if after != "" {
		in.StartAfter = &after
	}
	out, err := b.client.ListObjectsV2(ctx, in)
	if err != nil {
		return nil, false, b.classify(err, reads)
	}
	page := make([]objects.Listed, len(out.Contents))
	for i, o := range out.Contents {
		page[i] = objects.Listed{Name: aws.ToString(o.Key), At: tag(o.ETag), Size: aws.ToInt64(o.Size)}
	}
	return page, aws.ToBool(out.IsTruncated), nil
}

func (b *bucket) Describe(ctx context.Context, name string) (objects.Metadata, error) {
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: b.name, Key: &name, SSECustomerAlgorithm: b.customer, SSECustomerKey: b.customerKey, SSECustomerKeyMD5: b.customerHash,
	})
	if err != nil {
		return objects.Metadata{}, b.classify(err, asks)
	}
	m := objects.Metadata{
		Revision: tag(out.ETag), Version: aws.ToString(out.VersionId), Size: aws.ToInt64(out.ContentLength), Modified: aws.ToTime(out.LastModified),
		Encryption: string(out.ServerSideEncryption), Key: aws.ToString(out.SSEKMSKeyId),
	}
	if out.SSECustomerAlgorithm != nil {
		m.Encryption, m.Key = "customer "+*out.SSECustomerAlgorithm, aws.ToString(out.SSECustomerKeyMD5)
	}
	return m, nil
}

func tag(etag *string) driver.Revision {
	if aws.ToString(etag) == "" {
		return driver.Revision{}
	}
	return driver.TagRevision(*etag)
}
