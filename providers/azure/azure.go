// Package azure is the provider over Azure Blob Storage. Importing it registers the
// backend "azure".
//
// How blobs are named and what stands in them, and what an error says of a write, is
// told by the documentation of the format, in providers/internal/objects. Conditions
// are on entity tags.
//
// What is tested here was seen on Azurite, an emulator, and not on the service itself.
// Azurite knows no customer keys and no encryption scopes: that they are sent is tested,
// what the service does with them is not.
//
// # Rights
//
// The role "Storage Blob Data Contributor", on the container, is enough.
package azure

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
)

// Backend is the selector.
const Backend = "azure"

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
// config.Azure, where each is explained; how often a call is repeated stands in
// providers.Retry.
type Config struct {
	// AccountName and AccountKey are the account and its shared key; without the key
	// the SDK's default chain is asked. ConnectionString is both, and the endpoint.
	AccountName                  string
	AccountKey, ConnectionString config.Secret
	// Container must exist.
	Container string
	// Endpoint is the service's URL; "" is Azure's for the account. CACert is a file in
	// PEM with the authority to trust instead of the system's.
	Endpoint, CACert string
	// Prefix begins the name of every blob, followed by "/".
	Prefix string
	// ConnectionTimeout bounds the making of a connection, the others each request;
	// 0 leaves those to the caller's context.
	ConnectionTimeout, ReadTimeout, WriteTimeout time.Duration
	// CustomerKey, 32 bytes in base64, or EncryptionScope is what the service encrypts
	// blobs with, instead of the account's key.
	CustomerKey     config.Secret
	EncryptionScope string
}

// Defaults returns the defaults. The account and Container have none.
func Defaults() Config {
	d := config.Default[config.Azure]()
	return Config{ConnectionTimeout: d.ConnectionTimeout, ReadTimeout: d.ReadTimeout, WriteTimeout: d.WriteTimeout}
}

// validate reports every mistake, in the words of package config.
func (c *Config) validate() error {
	return config.Azure{
		AccountName: c.AccountName, AccountKey: c.AccountKey, ConnectionString: c.ConnectionString, Container: c.Container,
		Endpoint: c.Endpoint, CACert: c.CACert, Prefix: c.Prefix,
		ConnectionTimeout: c.ConnectionTimeout, ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout,
		CustomerKey: c.CustomerKey, EncryptionScope: c.EncryptionScope,
	}.Validate()
}

// Open opens the store. The container must exist.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	b, err := newBucket(&c)
	if err != nil {
		return nil, err
	}
	return objects.Open(ctx, b, objects.Options{
		Backend: Backend, Version: "Azure Blob Storage, azblob v1.8.3; tested on Azurite, an emulator", Prefix: c.Prefix,
		ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout,
	})
}

// Metadata is what the service tells of a blob beside its bytes.
type Metadata = objects.Metadata

// Describe returns what the service tells of a key's blob. The store is one that this
// package has opened, as Provider.Driver returns it; any other is ErrUnsupported.
func Describe(ctx context.Context, store driver.Store, key []byte) (Metadata, error) {
	return objects.Describe(ctx, store, key)
}

// newClient returns the SDK's client. It repeats nothing and logs nothing.
func newClient(c *Config, transport *http.Transport) (*container.Client, error) {
	once := policy.RetryOptions{MaxRetries: -1}
	options := &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Retry: once, Telemetry: policy.TelemetryOptions{Disabled: true},
		Transport: &http.Client{
			Transport:     objects.Transport(transport),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}}
	if !c.ConnectionString.IsZero() {
		client, err := container.NewClientFromConnectionString(c.ConnectionString.Reveal(), c.Container, options)
		if err != nil {
			// What the SDK says of it may hold the secret.
			return nil, fmt.Errorf("%w: connection_string cannot be read: it must be as the portal shows it, AccountName=…;AccountKey=…;EndpointSuffix=…", driver.ErrInvalid)
		}
		return client, nil
	}
	endpoint := strings.TrimSuffix(c.Endpoint, "/")
	if endpoint == "" {
		endpoint = "https://" + c.AccountName + ".blob.core.windows.net"
	}
	url := endpoint + "/" + c.Container
	if !c.AccountKey.IsZero() {
		key, err := container.NewSharedKeyCredential(c.AccountName, c.AccountKey.Reveal())
		if err != nil {
			return nil, fmt.Errorf("%w: account_key must be in base64", driver.ErrInvalid)
		}
		return container.NewClientWithSharedKeyCredential(url, key, options)
	}
	chain, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, fmt.Errorf("%w: the SDK's default chain: %v", driver.ErrDenied, err) //nolint // it has no kind of ours
	}
	return container.NewClient(url, credential{chain}, options)
}

// credential is the SDK's default chain, whose failure is told apart from that of the
// service.
type credential struct{ azcore.TokenCredential }

func (c credential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := c.TokenCredential.GetToken(ctx, o)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: the SDK's default chain has no token; set account_key, or give it one: %v", driver.ErrDenied, err) //nolint // the wire of another service
	}
	return token, err
}

func newBucket(c *Config) (*bucket, error) {
	transport, err := objects.Dial(c.CACert, c.ConnectionTimeout)
	if err != nil {
		return nil, err
	}
	client, err := newClient(c, transport)
	if err != nil {
		return nil, err
	}
	b := &bucket{client: client, transport: transport, name: c.Container}
	if c.EncryptionScope != "" {
		b.scope = &blob.CPKScopeInfo{EncryptionScope: &c.EncryptionScope}
	}
	if !c.CustomerKey.IsZero() {
		key, err := base64.StdEncoding.DecodeString(c.CustomerKey.Reveal())
		if err != nil {
			return nil, errors.New("customer_key was valid a moment ago")
		}
		b.setCustomerKey(c.CustomerKey.Reveal(), sha256.Sum256(key))
	}
	return b, nil
}
