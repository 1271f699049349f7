package azure

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
)

// bucket is objects.Bucket over the SDK.
type bucket struct {
	client    *container.Client
	transport *http.Transport
	name      string
	key       *blob.CPKInfo
	scope     *blob.CPKScopeInfo
	markers   markers
}

func (b *bucket) setCustomerKey(key string, sum [32]byte) {
	hash, algorithm := base64.StdEncoding.EncodeToString(sum[:]), blob.EncryptionAlgorithmTypeAES256
	b.key = &blob.CPKInfo{EncryptionKey: &key, EncryptionKeySHA256: &hash, EncryptionAlgorithm: &algorithm}
}

func (b *bucket) Close() { b.transport.CloseIdleConnections() }

func (b *bucket) Ping(ctx context.Context) error {
	_, err := b.client.GetProperties(ctx, nil)
	return b.classify(err, false)
}

func (b *bucket) Get(ctx context.Context, name string) ([]byte, driver.Revision, error) {
	out, err := b.client.NewBlobClient(name).DownloadStream(ctx, &blob.DownloadStreamOptions{CPKInfo: b.key, CPKScopeInfo: b.scope})
	if err != nil {
		return nil, driver.Revision{}, b.classify(err, false)
	}
	defer out.Body.Close()
	length := int64(-1)
	if out.ContentLength != nil {
		length = *out.ContentLength
	}
	data, err := objects.ReadAll(out.Body, length)
	if err != nil {
		return nil, driver.Revision{}, err
	}
	return data, revision(out.ETag), nil
}

func (b *bucket) Put(ctx context.Context, name string, data []byte, c objects.Condition) (driver.Revision, error) {
	o := &blockblob.UploadOptions{CPKInfo: b.key, CPKScopeInfo: b.scope, AccessConditions: at(c.At)}
	if c.Absent {
		o.AccessConditions = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}}
	}
	out, err := b.client.NewBlockBlobClient(name).Upload(ctx, streaming.NopCloser(bytes.NewReader(data)), o)
	if err != nil {
		if err = b.classify(err, true); errors.Is(err, driver.ErrNotFound) {
			err = fmt.Errorf("%w: there is no blob", driver.ErrConflict)
		}
		return driver.Revision{}, err
	}
	return revision(out.ETag), nil
}

func (b *bucket) Delete(ctx context.Context, name string, r driver.Revision) error {
	_, err := b.client.NewBlobClient(name).Delete(ctx, &blob.DeleteOptions{AccessConditions: at(r), DeleteSnapshots: to.Ptr(blob.DeleteSnapshotsOptionTypeInclude)})
	err = b.classify(err, true)
	switch {
	case errors.Is(err, driver.ErrNotFound) && r.IsZero():
		return nil
	case errors.Is(err, driver.ErrNotFound):
		return fmt.Errorf("%w: there is no blob", driver.ErrConflict)
	}
	return err
}

func (b *bucket) Describe(ctx context.Context, name string) (objects.Metadata, error) {
	out, err := b.client.NewBlobClient(name).GetProperties(ctx, &blob.GetPropertiesOptions{CPKInfo: b.key})
	if err != nil {
		return objects.Metadata{}, b.classify(err, false)
	}
	m := objects.Metadata{Revision: revision(out.ETag)}
	if out.ContentLength != nil {
		m.Size = *out.ContentLength
	}
	if out.LastModified != nil {
		m.Modified = *out.LastModified
	}
	if out.VersionID != nil {
		m.Version = *out.VersionID
	}
	switch {
	case out.EncryptionKeySHA256 != nil:
		m.Encryption, m.Key = "customer AES256", *out.EncryptionKeySHA256
	case out.EncryptionScope != nil:
		m.Encryption, m.Key = "scope", *out.EncryptionScope
	case out.IsServerEncrypted != nil && *out.IsServerEncrypted:
		m.Encryption = "AES256"
	}
	return m, nil
}

// revision returns the revision of an entity tag. A header has it in quotes, a list
// without.
func revision(tag *azcore.ETag) driver.Revision {
	if tag == nil || strings.Trim(string(*tag), `"`) == "" {
		return driver.Revision{}
	}
	return driver.TagRevision(strings.Trim(string(*tag), `"`))
}

// at is the condition that a blob is at a revision; none if that is zero.
func at(r driver.Revision) *blob.AccessConditions {
	if r.IsZero() {
		return nil
	}
	return &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: to.Ptr(azcore.ETag(`"` + r.Tag() + `"`))}}
}

// classify gives an answer of the service its kind, and leaves errors of the wire, and
// nil, as they are. It shows the answer's code alone: the rest holds the request's URL,
// where a signature may stand.
func (b *bucket) classify(err error, writes bool) error {
	var answer *azcore.ResponseError
	if err == nil || errors.Is(err, driver.ErrDenied) {
		return err
	}
	if !errors.As(err, &answer) {
		return objects.WithoutURL(err)
	}
	code := bloberror.Code(answer.ErrorCode)
	var kind error
	switch code {
	case bloberror.BlobNotFound:
		kind = driver.ErrNotFound
	case bloberror.BlobAlreadyExists:
		kind = driver.ErrConflict
	case bloberror.ContainerNotFound:
		return fmt.Errorf("%w: the container %q does not exist; create it, or correct container_name", driver.ErrInvalid, b.name)
	default:
		switch answer.StatusCode {
		case http.StatusNotFound, http.StatusConflict:
			// It is not the blob that is not there, or is: no reader must take it for that.
			kind = driver.ErrInvalid
		default:
			kind = objects.Answer(answer.StatusCode, writes, code == bloberror.ServerBusy)
		}
	}
	if kind == nil {
		return objects.WithoutURL(err)
	}
	return fmt.Errorf("%w: %d %s", kind, answer.StatusCode, answer.ErrorCode)
}
