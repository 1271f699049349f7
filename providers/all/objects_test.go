package all_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
)

// TestObjectStoresTakeEveryOption: an option of an object store arrives in the field of
// the same name, and retry_count in what stands above it. What each does is tested
// against a server, by its package.
func TestObjectStoresTakeEveryOption(t *testing.T) {
	key := config.NewSecret("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	kms := config.Default[config.S3]()
	kms.Bucket, kms.Encryption, kms.KMSKeyID, kms.PathStyle = "bucket", config.EncryptionKMS, "key", true
	customer := config.S3{
		Endpoint: "https://s3.test", Region: "region", Bucket: "bucket", AccessKeyID: "id", SecretAccessKey: config.NewSecret("a"), SessionToken: config.NewSecret("b"),
		Prefix: "prefix", EnableSSL: true, CACert: "ca.pem", ConnectionTimeout: time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 3 * time.Second, RetryCount: 4,
		Encryption: config.EncryptionCustomer, CustomerKey: key,
	}
	minio := config.MinIO{
		Endpoint: "minio.test:9000", AccessKey: "id", SecretKey: config.NewSecret("a"), Bucket: "bucket", Region: "region", Secure: true, CACert: "ca.pem",
		Prefix: "prefix", ConnectionTimeout: time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 3 * time.Second, RetryCount: 4,
	}
	joined := config.Default[config.Azure]()
	joined.ConnectionString, joined.Container = config.NewSecret("a"), "container"
	scoped := config.Azure{
		AccountName: "a", AccountKey: config.NewSecret("a"), Container: "container", Endpoint: "https://azure.test", CACert: "ca.pem", Prefix: "prefix",
		ConnectionTimeout: time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 3 * time.Second, RetryCount: 4, EncryptionScope: "scope",
	}
	keyed := scoped
	keyed.EncryptionScope, keyed.CustomerKey = "", key
	google := config.GoogleCloud{
		ProjectID: "p", RequesterPays: true, Bucket: "bucket", CredentialsPath: "key.json", Endpoint: "https://google.test", CACert: "ca.pem", Prefix: "prefix",
		ConnectionTimeout: time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 3 * time.Second, RetryCount: 4, KMSKeyName: "key",
	}
	other := google
	other.CredentialsPath, other.ServiceAccountKey = "", config.NewSecret("{}")
	seen := map[config.Kind]map[string]bool{}
	for _, b := range []config.Backend{kms, customer, minio, joined, scoped, keyed, google, other} {
		c, err := all.Config("name", b)
		if err != nil {
			t.Fatal(err)
		}
		from, to := reflect.ValueOf(b), reflect.ValueOf(c.Options)
		if seen[b.Kind()] == nil {
			seen[b.Kind()] = map[string]bool{}
		}
		for i := range from.NumField() {
			name := from.Type().Field(i).Name
			if !from.Field(i).IsZero() {
				seen[b.Kind()][name] = true
			}
			if name == "RetryCount" {
				if got := c.Retry.Count; got != int(from.Field(i).Int()) {
					t.Errorf("%s: RetryCount becomes %d", b.Kind(), got)
				}
				continue
			}
			if got := to.FieldByName(name); !got.IsValid() || got.Interface() != from.Field(i).Interface() {
				t.Errorf("%s: %s is %v, and becomes %v", b.Kind(), name, from.Field(i), got)
			}
		}
	}
	for _, b := range []config.Backend{config.S3{}, config.MinIO{}, config.Azure{}, config.GoogleCloud{}} {
		for i := range reflect.TypeOf(b).NumField() {
			if name := reflect.TypeOf(b).Field(i).Name; !seen[b.Kind()][name] {
				t.Errorf("%s: %s was never given", b.Kind(), name)
			}
		}
	}
	never := customer
	never.RetryCount = 0
	if c, err := all.Config("name", never); err != nil || c.Retry.Count >= 0 {
		t.Errorf("retry_count = 0 becomes %d, %v", c.Retry.Count, err)
	}
}
