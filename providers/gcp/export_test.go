package gcp

import (
	"context"
	"net/http"

	"cloud.google.com/go/storage"
)

// SDKThrough returns the client that a store would have, through a transport of the
// test.
func SDKThrough(ctx context.Context, c Config, through http.RoundTripper) (*storage.Client, error) {
	return newClient(ctx, &c, through)
}
