package objectstest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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

// The record of a lease, about.
const (
	benchKeys  = 64
	benchValue = 430
)

func benchKey(i int) string { return fmt.Sprintf("lease/player/%032d", i%benchKeys) }

// BenchmarkPut puts over keys that the client has put before, one after the other.
func BenchmarkPut(b *testing.B, p *providers.Provider, bare Bare) {
	value := bytes.Repeat([]byte{'v'}, benchValue)
	both(b, func(ctx context.Context, i int) error {
		_, err := p.Put(ctx, []byte(benchKey(i)), value, providers.PutOptions{})
		return err
	}, func(ctx context.Context, i int) error { return bare.Put(ctx, "bare/"+benchKey(i), value) })
}

// BenchmarkGet gets what is there.
func BenchmarkGet(b *testing.B, p *providers.Provider, bare Bare) {
	value := bytes.Repeat([]byte{'v'}, benchValue)
	for i := range benchKeys {
		if _, err := p.Put(b.Context(), []byte(benchKey(i)), value, providers.PutOptions{}); err != nil {
			b.Fatal(err)
		}
		if err := bare.Put(b.Context(), "bare/"+benchKey(i), value); err != nil {
			b.Fatal(err)
		}
	}
	both(b, func(ctx context.Context, i int) error {
		_, err := p.Get(ctx, []byte(benchKey(i)))
		return err
	}, func(ctx context.Context, i int) error {
		_, err := bare.Get(ctx, "bare/"+benchKey(i))
		return err
	})
}

func both(b *testing.B, provider, bare func(ctx context.Context, i int) error) {
	for _, c := range []struct {
		name string
		call func(ctx context.Context, i int) error
	}{{"provider", provider}, {"bare", bare}} {
		b.Run(c.name, func(b *testing.B) {
			for i := range benchKeys { // as it is later
				if err := c.call(b.Context(), i); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			for i := range b.N {
				if err := c.call(b.Context(), i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
