package config

import (
	"encoding/base64"
	"strings"
	"time"
)

// S3 is Amazon S3, or a service that speaks its protocol.
type S3 struct {
	// Endpoint is the service's URL; empty is Amazon's in Region.
	Endpoint string `name:"endpoint"`
	// Region is the bucket's region.
	Region string `name:"region" default:"us-east-1" required:"true"`
	// Bucket must exist.
	Bucket string `name:"bucket" also:"bucket_name" required:"true"`
	// AccessKeyID and SecretAccessKey are the credentials. Without them the SDK's
	// default chain looks for some: environment, profile, web identity, instance role.
	AccessKeyID string `name:"access_key_id" also:"access_key"`
	// SecretAccessKey belongs to AccessKeyID.
	SecretAccessKey Secret `name:"secret_access_key" also:"secret_key"`
	// SessionToken belongs to temporary credentials.
	SessionToken Secret `name:"session_token"`
	// Prefix begins the name of every object, followed by "/".
	Prefix string `name:"prefix"`
	// EnableSSL sends everything over TLS.
	EnableSSL bool `name:"enable_ssl" also:"secure" default:"true"`
	// CACert is a file with the certificate authority to trust, in PEM; empty is the
	// system's.
	CACert string `name:"ca_cert"`
	// PathStyle puts the bucket into the path of the URL instead of its host, as most
	// services other than Amazon's need.
	PathStyle bool `name:"path_style" default:"false"`
	// ConnectionTimeout bounds the making of a connection.
	ConnectionTimeout time.Duration `name:"connection_timeout" default:"30s" min:"1ms" max:"1h"`
	// ReadTimeout bounds a request that reads; 0 leaves it to the caller's context.
	ReadTimeout time.Duration `name:"read_timeout" default:"60s" max:"24h"`
	// WriteTimeout bounds a request that writes; 0 leaves it to the caller's context.
	WriteTimeout time.Duration `name:"write_timeout" default:"60s" max:"24h"`
	// RetryCount is how often a request that is safe to repeat is tried again.
	RetryCount int `name:"retry_count" default:"3" max:"100"`
	// Encryption is the server-side encryption of objects: none leaves it to the
	// bucket's own setting, s3 is with the service's keys, kms with KMSKeyID, customer
	// with CustomerKey.
	Encryption Encryption `name:"server_side_encryption" default:"none" oneof:"none,s3,kms,customer" same:"AES256=s3 aws:kms=kms"`
	// KMSKeyID is the key for encryption kms; empty is the bucket's.
	KMSKeyID string `name:"kms_key_id"`
	// CustomerKey is the key for encryption customer: 32 bytes in base64. Without it
	// nothing can be read again.
	CustomerKey Secret `name:"customer_key"`
}

// Encryption is a server-side encryption: "none", "s3", "kms" or "customer".
type Encryption string

// The server-side encryptions.
const (
	NoEncryption       Encryption = "none"
	EncryptionS3       Encryption = "s3"
	EncryptionKMS      Encryption = "kms"
	EncryptionCustomer Encryption = "customer"
)

// Kind returns KindS3.
func (S3) Kind() Kind { return KindS3 }

// Validate reports every mistake.
func (c S3) Validate() error { return validateAlone(c) }

func (c S3) check(r *report) {
	checkEndpoint(r, "endpoint", c.Endpoint, "enable_ssl", c.EnableSSL)
	checkPair(r, "access_key_id", c.AccessKeyID != "", "secret_access_key", !c.SecretAccessKey.IsZero())
	if !c.SessionToken.IsZero() && c.AccessKeyID == "" {
		r.bad("session_token", "does nothing without access_key_id and secret_access_key", "")
	}
	if c.CACert != "" && !c.EnableSSL {
		r.bad("ca_cert", "does nothing with enable_ssl = false", "")
	}
	checkPrefix(r, c.Prefix)
	if c.KMSKeyID != "" && c.Encryption != EncryptionKMS {
		r.bad("kms_key_id", `acts with server_side_encryption = "kms" only`, "")
	}
	key, err := base64.StdEncoding.DecodeString(c.CustomerKey.Reveal())
	switch {
	case c.Encryption != EncryptionCustomer && !c.CustomerKey.IsZero():
		r.bad("customer_key", `acts with server_side_encryption = "customer" only`, "")
	case c.Encryption == EncryptionCustomer && (err != nil || len(key) != 32):
		r.bad("customer_key", "must be 32 bytes in base64; `openssl rand -base64 32` makes such a key", "")
	case c.Encryption == EncryptionCustomer && !c.EnableSSL:
		r.bad("customer_key", "would be sent unencrypted; S3 takes it with enable_ssl = true only", "")
	}
}

func checkPrefix(r *report, prefix string) {
	if strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/") {
		r.bad("prefix", `must not begin or end with "/", which is put after it`, strings.Trim(prefix, "/"))
	}
}

// MinIO is a MinIO server.
type MinIO struct {
	// Endpoint is the server's URL, or its host and port.
	Endpoint string `name:"endpoint" required:"true"`
	// AccessKey and SecretKey are the credentials.
	AccessKey string `name:"access_key" also:"access_key_id" required:"true"`
	// SecretKey belongs to AccessKey.
	SecretKey Secret `name:"secret_key" also:"secret_access_key" required:"true"`
	// Bucket must exist.
	Bucket string `name:"bucket_name" also:"bucket" required:"true"`
	// Region is what the server was told that it is in.
	Region string `name:"region" default:"us-east-1" required:"true"`
	// Secure sends everything over TLS.
	Secure bool `name:"secure" also:"enable_ssl" default:"true"`
	// CACert is a file with the certificate authority to trust, in PEM; empty is the
	// system's.
	CACert string `name:"ca_cert"`
	// Prefix begins the name of every object, followed by "/".
	Prefix string `name:"prefix"`
	// ConnectionTimeout bounds the making of a connection.
	ConnectionTimeout time.Duration `name:"connection_timeout" default:"30s" min:"1ms" max:"1h"`
	// ReadTimeout bounds a request that reads; 0 leaves it to the caller's context.
	ReadTimeout time.Duration `name:"read_timeout" default:"60s" max:"24h"`
	// WriteTimeout bounds a request that writes; 0 leaves it to the caller's context.
	WriteTimeout time.Duration `name:"write_timeout" default:"60s" max:"24h"`
	// RetryCount is how often a request that is safe to repeat is tried again.
	RetryCount int `name:"retry_count" default:"3" max:"100"`
}

// Kind returns KindMinIO.
func (MinIO) Kind() Kind { return KindMinIO }

// Validate reports every mistake.
func (c MinIO) Validate() error { return validateAlone(c) }

// S3 returns the same as a configuration of S3, which MinIO speaks.
func (c MinIO) S3() S3 {
	s := Default[S3]()
	s.Endpoint, s.Region, s.Bucket, s.Prefix = c.url(), c.Region, c.Bucket, c.Prefix
	s.AccessKeyID, s.SecretAccessKey = c.AccessKey, c.SecretKey
	s.EnableSSL, s.CACert, s.PathStyle = c.Secure, c.CACert, true
	s.ConnectionTimeout, s.ReadTimeout, s.WriteTimeout, s.RetryCount = c.ConnectionTimeout, c.ReadTimeout, c.WriteTimeout, c.RetryCount
	return s
}

// url is the endpoint with its scheme.
func (c MinIO) url() string {
	switch {
	case strings.Contains(c.Endpoint, "://") || c.Endpoint == "":
		return c.Endpoint
	case c.Secure:
		return "https://" + c.Endpoint
	}
	return "http://" + c.Endpoint
}

func (c MinIO) check(r *report) {
	checkEndpoint(r, "endpoint", c.url(), "secure", c.Secure)
	checkPrefix(r, c.Prefix)
	if c.CACert != "" && !c.Secure {
		r.bad("ca_cert", "does nothing with secure = false", "")
	}
}

// Azure is Azure Blob Storage.
type Azure struct {
	// AccountName is the storage account. It is required unless ConnectionString names
	// it.
	AccountName string `name:"account_name"`
	// AccountKey is its shared key. Without it and ConnectionString the SDK's default
	// chain looks for credentials: environment, workload identity, managed identity.
	AccountKey Secret `name:"account_key"`
	// ConnectionString is account, credentials and endpoint in one, as the portal shows
	// it.
	ConnectionString Secret `name:"connection_string"`
	// Container must exist.
	Container string `name:"container_name" also:"container" required:"true"`
	// Endpoint is the service's URL; empty is Azure's for the account. It may be
	// http:// for an emulator.
	Endpoint string `name:"endpoint"`
	// CACert is a file with the certificate authority to trust, in PEM; empty is the
	// system's.
	CACert string `name:"ca_cert"`
	// Prefix begins the name of every blob, followed by "/".
	Prefix string `name:"prefix"`
	// ConnectionTimeout bounds the making of a connection.
	ConnectionTimeout time.Duration `name:"connection_timeout" default:"30s" min:"1ms" max:"1h"`
	// ReadTimeout bounds a request that reads; 0 leaves it to the caller's context.
	ReadTimeout time.Duration `name:"read_timeout" default:"60s" max:"24h"`
	// WriteTimeout bounds a request that writes; 0 leaves it to the caller's context.
	WriteTimeout time.Duration `name:"write_timeout" default:"60s" max:"24h"`
	// RetryCount is how often a request that is safe to repeat is tried again.
	RetryCount int `name:"retry_count" default:"3" max:"100"`
	// CustomerKey is a key that the service encrypts blobs with and does not keep: 32
	// bytes in base64. Without it nothing can be read again.
	CustomerKey Secret `name:"customer_key"`
	// EncryptionScope is the scope of the account with whose key blobs are encrypted.
	EncryptionScope string `name:"encryption_scope"`
}

// Kind returns KindAzure.
func (Azure) Kind() Kind { return KindAzure }

// Validate reports every mistake.
func (c Azure) Validate() error { return validateAlone(c) }

func (c Azure) check(r *report) {
	joined := !c.ConnectionString.IsZero()
	switch {
	case joined && c.AccountName != "":
		r.bad("account_name", "is set beside connection_string, which names the account; set one of them", "")
	case joined && !c.AccountKey.IsZero():
		r.bad("account_key", "is set beside connection_string, which holds credentials; set one of them", "")
	case joined && c.Endpoint != "":
		r.bad("endpoint", "is set beside connection_string, which names it; set one of them", "")
	case !joined && c.AccountName == "":
		r.bad("account_name", "is missing", "")
	}
	plain := false
	if c.Endpoint != "" {
		u, ok := checkURL(r, "endpoint", c.Endpoint, "http", "https")
		plain = ok && u.Scheme == "http"
	}
	if plain && !joined && c.AccountKey.IsZero() {
		r.bad("endpoint", "is http://, over which the SDK sends no tokens; set account_key, or write https://", "")
	}
	if plain && c.CACert != "" {
		r.bad("ca_cert", "does nothing with an endpoint of http://", "")
	}
	checkPrefix(r, c.Prefix)
	switch key, err := base64.StdEncoding.DecodeString(c.CustomerKey.Reveal()); {
	case c.CustomerKey.IsZero():
	case err != nil || len(key) != 32:
		r.bad("customer_key", "must be 32 bytes in base64; `openssl rand -base64 32` makes such a key", "")
	case c.EncryptionScope != "":
		r.bad("encryption_scope", "is set beside customer_key; set one of them", "")
	case plain:
		r.bad("customer_key", "would be sent unencrypted; Azure takes it over https:// only", "")
	}
}

// GoogleCloud is Google Cloud Storage.
type GoogleCloud struct {
	// ProjectID is the project that the bucket is used for. Errors name it, and with
	// RequesterPays it is billed.
	ProjectID string `name:"project_id" required:"true"`
	// RequesterPays has ProjectID billed for requests, as some buckets ask for. It takes
	// the right serviceusage.services.use on the project.
	RequesterPays bool `name:"requester_pays" default:"false"`
	// Bucket must exist.
	Bucket string `name:"bucket_name" also:"bucket" required:"true"`
	// CredentialsPath is a file with a service account's key. Without it and
	// ServiceAccountKey the application default credentials are used.
	CredentialsPath string `name:"credentials_path"`
	// ServiceAccountKey is such a key itself, in JSON.
	ServiceAccountKey Secret `name:"service_account_key"`
	// Endpoint is the service's URL; empty is Google's. It may be http:// for an
	// emulator, to which no credentials are sent.
	Endpoint string `name:"endpoint"`
	// CACert is a file with the certificate authority to trust, in PEM; empty is the
	// system's.
	CACert string `name:"ca_cert"`
	// Prefix begins the name of every object, followed by "/".
	Prefix string `name:"prefix"`
	// ConnectionTimeout bounds the making of a connection.
	ConnectionTimeout time.Duration `name:"connection_timeout" default:"30s" min:"1ms" max:"1h"`
	// ReadTimeout bounds a request that reads; 0 leaves it to the caller's context.
	ReadTimeout time.Duration `name:"read_timeout" default:"60s" max:"24h"`
	// WriteTimeout bounds a request that writes; 0 leaves it to the caller's context.
	WriteTimeout time.Duration `name:"write_timeout" default:"60s" max:"24h"`
	// RetryCount is how often a request that is safe to repeat is tried again.
	RetryCount int `name:"retry_count" default:"3" max:"100"`
	// KMSKeyName is the key of Cloud KMS with which objects are encrypted, by its whole
	// name, "projects/…/cryptoKeys/…"; empty is the bucket's own setting.
	KMSKeyName string `name:"kms_key_name"`
}

// Kind returns KindGCP.
func (GoogleCloud) Kind() Kind { return KindGCP }

// Validate reports every mistake.
func (c GoogleCloud) Validate() error { return validateAlone(c) }

func (c GoogleCloud) check(r *report) {
	if c.CredentialsPath != "" && !c.ServiceAccountKey.IsZero() {
		r.bad("service_account_key", "is set beside credentials_path; set one of them", "")
	}
	if c.Endpoint != "" {
		u, ok := checkURL(r, "endpoint", c.Endpoint, "http", "https")
		plain := ok && u.Scheme == "http"
		switch {
		case plain && c.CredentialsPath != "":
			r.bad("credentials_path", "does nothing with an endpoint of http://, to which no credentials are sent", "")
		case plain && !c.ServiceAccountKey.IsZero():
			r.bad("service_account_key", "does nothing with an endpoint of http://, to which no credentials are sent", "")
		case plain && c.CACert != "":
			r.bad("ca_cert", "does nothing with an endpoint of http://", "")
		}
	}
	checkPrefix(r, c.Prefix)
}
