package objectstest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/orbit-persistence/orbit/internal/beside"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
)

// Bare is the client library alone, doing what a provider is measured doing.
type Bare struct {
	Put func(ctx context.Context, name string, value []byte) error
	Get func(ctx context.Context, name string) ([]byte, error)
}

// BareS3 is the SDK of S3.
func BareS3(client *s3.Client, bucket string) Bare {
	return Bare{
		Put: func(ctx context.Context, name string, value []byte) error {
			_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &name, Body: bytes.NewReader(value)})
			return err
		},
		Get: func(ctx context.Context, name string) ([]byte, error) {
			out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &name})
			if err != nil {
				return nil, err
			}
			defer out.Body.Close()
			return io.ReadAll(out.Body)
		},
	}
}

// CreateS3Bucket makes a bucket at a server with TLS.
func CreateS3Bucket(t testing.TB, endpoint, authority, id, secret, bucket string) {
	t.Helper()
	transport, err := objects.Dial(authority, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	client := s3.New(s3.Options{
		BaseEndpoint: &endpoint, Region: "us-east-1", UsePathStyle: true, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
	})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkPut puts over keys that the client has put before, one after the other.
func BenchmarkPut(b *testing.B, p *providers.Provider, bare Bare) {
	beside.Measure(b, func(i int) error {
		_, err := p.Put(b.Context(), []byte(beside.Key(i)), beside.Value, providers.PutOptions{})
		return err
	}, func(i int) error { return bare.Put(b.Context(), "bare/"+beside.Key(i), beside.Value) })
}

// BenchmarkGet gets what is there.
func BenchmarkGet(b *testing.B, p *providers.Provider, bare Bare) {
	for i := range beside.Keys {
		if _, err := p.Put(b.Context(), []byte(beside.Key(i)), beside.Value, providers.PutOptions{}); err != nil {
			b.Fatal(err)
		}
		if err := bare.Put(b.Context(), "bare/"+beside.Key(i), beside.Value); err != nil {
			b.Fatal(err)
		}
	}
	beside.Measure(b, func(i int) error {
		_, err := p.Get(b.Context(), []byte(beside.Key(i)))
		return err
	}, func(i int) error {
		_, err := bare.Get(b.Context(), "bare/"+beside.Key(i))
		return err
	})
}
