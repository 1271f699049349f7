// Package gcp is the provider over Google Cloud Storage. Importing it registers the
// backend "gcp".
//
// How objects are named and what stands in them, and what an error says of a write, is
// told by the documentation of the format, in providers/internal/objects. Conditions
// are on generations, which the service never gives twice.
//
// What is tested here was seen on fake-gcs-server, an emulator, and not on the service
// itself. It ignores the conditions of deletes, which the service does not: there a
// delete leaves nothing, here a tombstone. That a key of Cloud KMS is named to the
// service is tested, what it does with it is not.
//
// The service takes about one write a second of the same object, and refuses more with
// 429, which is ErrUnavailable: a counter in one key is not for it.
//
// # Rights
//
// The role "Storage Object User", on the bucket, is enough.
package gcp

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
	"cloud.google.com/go/storage"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
	"google.golang.org/api/option"
)

// Backend is the selector.
const Backend = "gcp"

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
// config.GoogleCloud, where each is explained; how often a call is repeated stands in
// providers.Retry.
type Config struct {
	// ProjectID is the project that the bucket is used for. RequesterPays has it billed
	// for that.
	ProjectID     string
	RequesterPays bool
	// Bucket must exist.
	Bucket string
	// CredentialsPath is a file with a service account's key, ServiceAccountKey such a
	// key itself; without them the application default credentials are used.
	CredentialsPath   string
	ServiceAccountKey config.Secret
	// Endpoint is the service's URL; "" is Google's. To one of http:// no credentials
	// are sent. CACert is a file in PEM with the authority to trust instead of the
	// system's.
	Endpoint, CACert string
	// Prefix begins the name of every object, followed by "/".
	Prefix string
	// ConnectionTimeout bounds the making of a connection, the others each request;
	// 0 leaves those to the caller's context.
	ConnectionTimeout, ReadTimeout, WriteTimeout time.Duration
	// KMSKeyName is the key of Cloud KMS that the service encrypts objects with.
	KMSKeyName string
}

// Defaults returns the defaults. ProjectID and Bucket have none.
func Defaults() Config {
	d := config.Default[config.GoogleCloud]()
	return Config{ConnectionTimeout: d.ConnectionTimeout, ReadTimeout: d.ReadTimeout, WriteTimeout: d.WriteTimeout}
}

// validate reports every mistake, in the words of package config.
func (c *Config) validate() error {
	return config.GoogleCloud{
		ProjectID: c.ProjectID, RequesterPays: c.RequesterPays, Bucket: c.Bucket,
		CredentialsPath: c.CredentialsPath, ServiceAccountKey: c.ServiceAccountKey, Endpoint: c.Endpoint, CACert: c.CACert, Prefix: c.Prefix,
		ConnectionTimeout: c.ConnectionTimeout, ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout, KMSKeyName: c.KMSKeyName,
	}.Validate()
}

// Open opens the store. The bucket must exist.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	transport, err := objects.Dial(c.CACert, c.ConnectionTimeout)
	if err != nil {
		return nil, err
	}
	client, err := newClient(ctx, &c, transport)
	if err != nil {
		return nil, err
	}
	handle := client.Bucket(c.Bucket)
	if c.RequesterPays {
		handle = handle.UserProject(c.ProjectID)
	}
	b := &bucket{client: client, handle: handle, transport: transport, name: c.Bucket, project: c.ProjectID, kmsKey: c.KMSKeyName}
	return objects.Open(ctx, b, objects.Options{
		Backend: Backend, Version: "Google Cloud Storage, storage v1.70.0; tested on fake-gcs-server, an emulator", Prefix: c.Prefix,
		ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout,
	})
}

// Metadata is what the service tells of an object beside its bytes. Version is its
// generation.
type Metadata = objects.Metadata

// Describe returns what the service tells of a key's object. The store is one that this
// package has opened, as Provider.Driver returns it; any other is ErrUnsupported.
func Describe(ctx context.Context, store driver.Store, key []byte) (Metadata, error) {
	return objects.Describe(ctx, store, key)
}

const scope = "https://www.googleapis.com/auth/devstorage.read_write"

// newClient returns the SDK's client. It repeats nothing.
func newClient(ctx context.Context, c *Config, transport http.RoundTripper) (*storage.Client, error) {
	hc := &http.Client{Transport: objects.Transport(transport)}
	if !strings.HasPrefix(c.Endpoint, "http://") {
		found, err := findCredentials(c)
		if err != nil {
			return nil, err
		}
		if hc, err = httptransport.NewClient(&httptransport.Options{Credentials: found, BaseRoundTripper: hc.Transport, DisableTelemetry: true}); err != nil {
			return nil, fmt.Errorf("%w: %v", driver.ErrInvalid, err) //nolint // it has no kind of ours
		}
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	options := []option.ClientOption{option.WithHTTPClient(hc), storage.WithJSONReads()}
	if c.Endpoint != "" {
		options = append(options, option.WithEndpoint(strings.TrimSuffix(c.Endpoint, "/")+"/storage/v1/"))
	}
	client, err := storage.NewClient(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", driver.ErrInvalid, err) //nolint // it has no kind of ours
	}
	client.SetRetry(storage.WithPolicy(storage.RetryNever))
	return client, nil
}

// findCredentials returns the credentials that are configured, or the application
// default ones. An error shows nothing of a key.
func findCredentials(c *Config) (*auth.Credentials, error) {
	o := &credentials.DetectOptions{Scopes: []string{scope}}
	var found *auth.Credentials
	var err error
	where := "the application default credentials"
	switch {
	case c.CredentialsPath != "":
		where = "credentials_path"
		found, err = credentials.NewCredentialsFromFile(credentials.ServiceAccount, c.CredentialsPath, o)
	case !c.ServiceAccountKey.IsZero():
		found, err = credentials.NewCredentialsFromJSON(credentials.ServiceAccount, []byte(c.ServiceAccountKey.Reveal()), o)
		if err != nil {
			return nil, fmt.Errorf("%w: service_account_key is not a service account's key in JSON", driver.ErrInvalid)
		}
	default:
		found, err = credentials.DetectDefault(o)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %v", driver.ErrDenied, where, err) //nolint // it has no kind of ours
	}
	return auth.NewCredentials(&auth.CredentialsOptions{
		TokenProvider: tokens{found}, ProjectIDProvider: auth.CredentialsPropertyFunc(found.ProjectID),
		QuotaProjectIDProvider: auth.CredentialsPropertyFunc(found.QuotaProjectID), UniverseDomainProvider: auth.CredentialsPropertyFunc(found.UniverseDomain),
	}), nil
}

// tokens are those of credentials, whose failure is told apart from that of the service.
type tokens struct{ of *auth.Credentials }

func (p tokens) Token(ctx context.Context) (*auth.Token, error) {
	token, err := p.of.Token(ctx)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: the credentials give no token: %v", driver.ErrDenied, err) //nolint // the wire of another service
	}
	return token, err
}
