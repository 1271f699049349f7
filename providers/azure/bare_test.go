package azure_test

import (
	"bytes"
	"context"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/orbit-persistence/orbit/providers/internal/objects/objectstest"
)

// bare is the SDK alone.
func bare(client *container.Client) objectstest.Bare {
	return objectstest.Bare{
		Put: func(ctx context.Context, name string, value []byte) error {
			_, err := client.NewBlockBlobClient(name).Upload(ctx, streaming.NopCloser(bytes.NewReader(value)), nil)
			return err
		},
		Get: func(ctx context.Context, name string) ([]byte, error) {
			out, err := client.NewBlobClient(name).DownloadStream(ctx, nil)
			if err != nil {
				return nil, err
			}
			defer out.Body.Close()
			return io.ReadAll(out.Body)
		},
	}
}
