package s3

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
)

// SDK returns the client that a store would have.
func SDK(ctx context.Context, c Config) (*s3.Client, error) {
	transport, err := objects.Dial(c.CACert, c.ConnectionTimeout)
	if err != nil {
		return nil, err
	}
	transport.DisableKeepAlives = true // nobody closes it
	return newClient(ctx, &c, transport)
}

// SDKThrough is SDK through a transport of the test.
func SDKThrough(ctx context.Context, c Config, through http.RoundTripper) (*s3.Client, error) {
	return newClient(ctx, &c, through)
}
