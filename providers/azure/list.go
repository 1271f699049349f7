package azure

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
)

// mostMarkers is how many lists that were begun go on where they were.
const mostMarkers = 64

// markers are where the service says that lists go on, by the name behind which they do, the
// newest last.
type markers struct {
	mu  sync.Mutex
	all []marker
}

type marker struct{ prefix, after, at string }

// take returns the marker behind a name, and forgets it; "" if there is none.
func (m *markers) take(prefix, after string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, k := range m.all {
		if k.prefix == prefix && k.after == after {
			m.all = slices.Delete(m.all, i, i+1)
			return k.at
		}
	}
	return ""
}

func (m *markers) keep(k marker) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all = append(m.all, k); len(m.all) > mostMarkers {
		m.all = slices.Delete(m.all, 0, 1)
	}
}

// List goes on at the marker of the page before. Where there is none it begins at after, if
// the service knows how to; an older one, and Azurite, begin with the prefix, and what is not
// asked for is passed over, which takes as long as there are blobs before it.
func (b *bucket) List(ctx context.Context, prefix, after string, limit int) ([]objects.Listed, bool, error) {
	o := &container.ListBlobsFlatOptions{Prefix: &prefix, MaxResults: to.Ptr(int32(limit))}
	if at := b.markers.take(prefix, after); at != "" {
		o.Marker = &at
	} else if strings.HasPrefix(after, prefix) {
		o.StartFrom, o.MaxResults = &after, to.Ptr(int32(limit+1)) // after is one of them
	}
	var page []objects.Listed
	for pager := b.client.NewListBlobsFlatPager(o); pager.More(); {
		out, err := pager.NextPage(ctx)
		if err != nil {
			return nil, false, b.classify(err, false)
		}
		for _, item := range out.Segment.BlobItems {
			if item.Name == nil || item.Properties == nil || *item.Name <= after {
				continue
			}
			if len(page) == limit {
				return page, true, nil
			}
			l := objects.Listed{Name: *item.Name, At: revision(item.Properties.ETag)}
			if item.Properties.ContentLength != nil {
				l.Size = *item.Properties.ContentLength
			}
			page = append(page, l)
		}
		if len(page) == limit && out.NextMarker != nil && *out.NextMarker != "" {
			b.markers.keep(marker{prefix, page[limit-1].Name, *out.NextMarker})
			return page, true, nil
		}
	}
	return page, false, nil
}
