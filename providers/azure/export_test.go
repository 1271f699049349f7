package azure

import (
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
)

// SDK returns the client that a store would have.
func SDK(c Config) (*container.Client, error) {
	transport, err := objects.Dial(c.CACert, c.ConnectionTimeout)
	if err != nil {
		return nil, err
	}
	transport.DisableKeepAlives = true // nobody closes it
	return newClient(&c, transport)
}
