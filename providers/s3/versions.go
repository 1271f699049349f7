package s3

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
)

// flag is set once a put was answered with a version.
type flag struct{ set atomic.Bool }

// note notes the version of a put. "null" is that of a bucket which has stopped to keep
// versions.
func (f *flag) note(version *string) {
	if v := aws.ToString(version); v != "" && v != "null" {
		f.set.Store(true)
	}
}

// Versioned implements objects.Versions.
func (b *bucket) Versioned() bool { return b.versioned.set.Load() }

// ListVersions implements objects.Versions.
func (b *bucket) ListVersions(ctx context.Context, prefix string, yield func(objects.Version) error) error {
	in := &s3.ListObjectVersionsInput{Bucket: b.name, Prefix: &prefix}
	for {
		out, err := b.client.ListObjectVersions(ctx, in)
		if err != nil {
			return b.classify(err, reads)
		}
		page := make([]objects.Version, 0, len(out.Versions)+len(out.DeleteMarkers))
		for _, v := range out.Versions {
			page = append(page, objects.Version{Name: aws.ToString(v.Key), Version: aws.ToString(v.VersionId), Size: aws.ToInt64(v.Size), Newest: aws.ToBool(v.IsLatest)})
		}
		for _, m := range out.DeleteMarkers {
			page = append(page, objects.Version{Name: aws.ToString(m.Key), Version: aws.ToString(m.VersionId), Newest: aws.ToBool(m.IsLatest), Marker: true})
		}
		// The answer has markers in a list of their own.
		slices.SortStableFunc(page, func(x, y objects.Version) int { return cmp.Compare(x.Name, y.Name) })
		for _, v := range page {
			if err := yield(v); err != nil {
				return err
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		in.KeyMarker, in.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
	}
}

// DeleteVersion implements objects.Versions.
func (b *bucket) DeleteVersion(ctx context.Context, name, version string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b.name, Key: &name, VersionId: &version})
	if err = b.classify(err, writes); errors.Is(err, driver.ErrNotFound) {
		return nil // another has removed it
	}
	return err
}
