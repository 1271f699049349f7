package minio_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects/objectstest"
	"github.com/orbit-persistence/orbit/providers/minio"
	"github.com/orbit-persistence/orbit/providers/s3"
)

const (
	bucket    = "orbit-data"
	accessKey = "orbit-test"
)

var secretKey = servers.Secret("s3")

func TestMain(m *testing.M) { objectstest.Main(m, open) }

func at(address string) minio.Config {
	c := minio.Defaults()
	c.Endpoint, c.Secure = address, false
	c.Bucket, c.Prefix = bucket, "orbit"
	c.AccessKey, c.SecretKey = accessKey, config.NewSecret(secretKey)
	return c
}

func open(ctx context.Context, address, prefix string) (driver.Store, error) {
	c := at(address)
	c.Prefix = prefix
	return minio.Open(ctx, c)
}

func sdk(address string) *awss3.Client {
	return awss3.New(awss3.Options{
		BaseEndpoint: aws.String("http://" + address), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	})
}

func createBucket(t testing.TB, address, name string) {
	t.Helper()
	if _, err := sdk(address).CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
}

func start(t testing.TB) *servers.S3 {
	t.Helper()
	s := servers.MinIO(t, nil)
	createBucket(t, s.Address, bucket)
	return s
}

func service(t testing.TB) objectstest.Service {
	s := start(t)
	return objectstest.Service{Server: "MinIO 2026-02-12", Address: s.Address, Open: open, Restart: func() { s.Kill(); s.Restart() }}
}

func TestConformance(t *testing.T)  { objectstest.Conformance(t, service(t)) }
func TestMidOperation(t *testing.T) { objectstest.MidOperation(t, service(t)) }
func TestHistories(t *testing.T)    { objectstest.Histories(t, service(t)) }
func TestProcesses(t *testing.T)    { objectstest.Processes(t, service(t)) }
func TestLeaseFight(t *testing.T)   { objectstest.LeaseFight(t, service(t)) }

func BenchmarkPut(b *testing.B) { benchmark(b, objectstest.BenchmarkPut) }
func BenchmarkGet(b *testing.B) { benchmark(b, objectstest.BenchmarkGet) }

// benchmark measures a provider, with all that stands above a store, and beside it the
// SDK alone.
func benchmark(b *testing.B, run func(*testing.B, *providers.Provider, objectstest.Bare)) {
	s := service(b)
	store, err := open(b.Context(), s.Address, "bench")
	if err != nil {
		b.Fatal(err)
	}
	p := providers.OpenStore(store, providers.Config{})
	defer p.Close()
	run(b, p, objectstest.BareS3(sdk(s.Address), bucket))
}

// fails opens a store and wants an error with some words and without the secret.
func fails(t *testing.T, c minio.Config, kind error, words ...string) {
	t.Helper()
	s, err := minio.Open(t.Context(), c)
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, kind) {
		t.Fatalf("want %q, got: %v", kind, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
	if strings.Contains(fmt.Sprintf("%v %+v", err, c), c.SecretKey.Reveal()) {
		t.Errorf("the secret is in: %v", err)
	}
}

// TestOptions: each of them acts.
func TestOptions(t *testing.T) {
	certificate := servers.NewCertificate(t)
	server := servers.MinIO(t, certificate)
	c := at(server.Address)
	c.Secure, c.CACert = true, certificate.Authority // Endpoint is a host and a port
	fails(t, c, driver.ErrInvalid, `"orbit-data" does not exist`)
	full := s3.Defaults()
	full.Endpoint, full.CACert, full.PathStyle, full.Bucket = "https://"+server.Address, certificate.Authority, true, bucket
	full.AccessKeyID, full.SecretAccessKey = accessKey, config.NewSecret(secretKey)
	objectstest.CreateS3Bucket(t, full.Endpoint, certificate.Authority, accessKey, secretKey, bucket)
	s, err := minio.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	objectstest.Works(t, s)
	if got := s.Capabilities().Backend; got != minio.Backend {
		t.Errorf("the backend is %q", got)
	}
	if _, err := s.Put(t.Context(), []byte("seen"), nil, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	// The same objects are there for package s3, under the same prefix.
	full.Prefix = "orbit"
	other, err := s3.Open(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Get(t.Context(), []byte("seen")); err != nil {
		t.Error(err)
	}

	change := func(f func(c *minio.Config)) minio.Config { c := c; f(&c); return c }
	fails(t, change(func(c *minio.Config) { c.SecretKey = config.NewSecret("a-wrong-secret") }), driver.ErrDenied, "SignatureDoesNotMatch")
	fails(t, change(func(c *minio.Config) { c.AccessKey = "nobody" }), driver.ErrDenied, "InvalidAccessKeyId")
	fails(t, change(func(c *minio.Config) { c.Region = "mars-north-1" }), driver.ErrInvalid, "us-east-1")
	fails(t, change(func(c *minio.Config) { c.CACert = "" }), driver.ErrInvalid, "ca_cert")
	fails(t, change(func(c *minio.Config) { c.Secure, c.CACert = false, "" }), driver.ErrInvalid, "400")
	fails(t, change(func(c *minio.Config) { c.Endpoint = "http://" + server.Address }), driver.ErrInvalid, "secure")
	fails(t, change(func(c *minio.Config) { c.Endpoint = "" }), driver.ErrInvalid, "endpoint")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fails(t, change(func(c *minio.Config) {
		c.Endpoint, c.ConnectionTimeout, c.ReadTimeout, c.WriteTimeout = l.Addr().String(), 50*time.Millisecond, 0, 0
	}), driver.ErrUnavailable, "handshake")

	reads, err := minio.Open(t.Context(), change(func(c *minio.Config) { c.ReadTimeout, c.WriteTimeout = 200*time.Millisecond, 0 }))
	if err != nil {
		t.Fatal(err)
	}
	defer reads.Close()
	writes, err := minio.Open(t.Context(), change(func(c *minio.Config) { c.ReadTimeout, c.WriteTimeout = 0, 200*time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	defer writes.Close()
	server.Pause()
	for err = driver.ErrNotFound; errors.Is(err, driver.ErrNotFound); { // its threads stop one by one
		_, err = reads.Get(t.Context(), []byte("k"))
	}
	if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "200ms") {
		t.Errorf("read_timeout: %v", err)
	}
	if _, err := writes.Put(t.Context(), []byte("k"), nil, driver.PutOptions{}); !errors.Is(err, driver.ErrOutcomeUnknown) {
		t.Errorf("write_timeout: %v", err)
	}
	server.Resume()
}

// policy is the least that a store needs, of a bucket and a prefix. Package s3 says so.
const policy = `{"Version": "2012-10-17", "Statement": [
	{"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "Resource": "arn:aws:s3:::%[1]s/%[2]s/*"},
	{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::%[1]s"}]}`

// TestTenants: each has a bucket, or a prefix in one bucket, and credentials that are
// good for that alone.
func TestTenants(t *testing.T) {
	server := start(t)
	createBucket(t, server.Address, "tenant-b")
	client := sts.New(sts.Options{
		BaseEndpoint: aws.String("http://" + server.Address), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	})
	place := func(bucket, prefix string) s3.Config {
		c := s3.Defaults()
		c.Endpoint, c.EnableSSL, c.PathStyle, c.Bucket, c.Prefix = "http://"+server.Address, false, true, bucket, prefix
		return c
	}
	places := []s3.Config{place(bucket, "tenant-a"), place(bucket, "tenant-c"), place("tenant-b", "orbit")}
	for i, own := range places {
		out, err := client.AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn: aws.String("arn:minio:iam::1:role/any"), RoleSessionName: aws.String("tenant"), Policy: aws.String(fmt.Sprintf(policy, own.Bucket, own.Prefix)),
		})
		if err != nil {
			t.Fatal(err)
		}
		for j, c := range places {
			c.AccessKeyID, c.SecretAccessKey = *out.Credentials.AccessKeyId, config.NewSecret(*out.Credentials.SecretAccessKey)
			c.SessionToken = config.NewSecret(*out.Credentials.SessionToken)
			s, err := s3.OpenAs(t.Context(), minio.Backend, c)
			if i != j {
				if !errors.Is(err, driver.ErrDenied) {
					t.Errorf("tenant %d at the place of %d: %v", i, j, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("tenant %d: %v", i, err)
			}
			if err := objectstest.Try(t.Context(), s); err != nil {
				t.Errorf("tenant %d: %v", i, err)
			}
			s.Close()
		}
	}
}

// TestVersions: with versions kept, tombstones are removed by theirs.
func TestVersions(t *testing.T) {
	server := start(t)
	client := sdk(server.Address)
	_, err := client.PutBucketVersioning(t.Context(), &awss3.PutBucketVersioningInput{
		Bucket: aws.String(bucket), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), server.Address, "orbit")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	objectstest.Works(t, s)
	objectstest.Works(t, s)
	if _, err := s.Put(t.Context(), []byte("stays"), []byte("v"), driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if m, err := minio.Describe(t.Context(), s, []byte("stays")); err != nil || m.Version == "" {
		t.Errorf("%+v, %v", m, err)
	}
	c, ok := s.(driver.Compacter)
	if !ok {
		t.Fatal("it does not compact")
	}
	if err := c.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := client.ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: aws.String(bucket)})
	if err != nil || len(out.Versions) != 1 || len(out.DeleteMarkers) != 0 {
		t.Errorf("after compaction: %d versions, %d markers, %v; want one", len(out.Versions), len(out.DeleteMarkers), err)
	}
	objectstest.Works(t, s)
}
