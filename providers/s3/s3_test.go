package s3_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects/objectstest"
	"github.com/orbit-persistence/orbit/providers/s3"
)

const (
	bucket    = "orbit-data"
	accessKey = "orbit-test"
)

var secretKey = servers.Secret("s3")

func TestMain(m *testing.M) { objectstest.Main(m, open) }

// at is the configuration of a server without TLS.
func at(address string) s3.Config {
	c := s3.Defaults()
	c.Endpoint, c.EnableSSL, c.PathStyle = "http://"+address, false, true
	c.Bucket, c.Prefix = bucket, "orbit"
	c.AccessKeyID, c.SecretAccessKey = accessKey, config.NewSecret(secretKey)
	return c
}

func open(ctx context.Context, address, prefix string) (driver.Store, error) {
	c := at(address)
	c.Prefix = prefix
	return s3.Open(ctx, c)
}

// sdk is the bare client.
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

// start starts versitygw, with a bucket.
func start(t testing.TB) *servers.S3 {
	t.Helper()
	s := servers.Versitygw(t)
	createBucket(t, s.Address, bucket)
	return s
}

func service(t testing.TB) objectstest.Service {
	s := start(t)
	return objectstest.Service{Server: "versitygw v1.8.0", Address: s.Address, Open: open, Restart: func() { s.Kill(); s.Restart() }}
}

func TestConformance(t *testing.T)  { objectstest.Conformance(t, service(t)) }
func TestMidOperation(t *testing.T) { objectstest.MidOperation(t, service(t)) }
func TestHistories(t *testing.T)    { objectstest.Histories(t, service(t)) }
func TestProcesses(t *testing.T)    { objectstest.Processes(t, service(t)) }
func TestLeaseFight(t *testing.T)   { objectstest.LeaseFight(t, service(t)) }
