package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

// bucket is objects.Bucket over the SDK.
type bucket struct {
	client        *storage.Client
	handle        *storage.BucketHandle
	transport     *http.Transport
	name, project string
	kmsKey        string
}

func (b *bucket) Close() {
	_ = b.client.Close() // it has nothing to say: connections are the transport's
	b.transport.CloseIdleConnections()
}

func (b *bucket) Ping(ctx context.Context) error {
	// One name of a list: what a bucket's own attributes ask for is another right.
	_, _, err := b.List(ctx, "", "", 1)
	return err
}

func (b *bucket) Get(ctx context.Context, name string) ([]byte, driver.Revision, error) {
	r, err := b.handle.Object(name).NewReader(ctx)
	for range 3 {
		if err == nil {
			break
		}
		if err = b.classify(ctx, err, false, name); !errors.Is(err, errListed) {
			return nil, driver.Revision{}, err
		}
		r, err = b.handle.Object(name).NewReader(ctx) // it is there by now
	}
	if err != nil {
		return nil, driver.Revision{}, b.classify(ctx, err, false, name)
	}
	defer r.Close()
	data, err := objects.ReadAll(r, r.Attrs.Size)
	if err != nil {
		return nil, driver.Revision{}, err
	}
	return data, revision(r.Attrs.Generation), nil
}

func (b *bucket) Put(ctx context.Context, name string, data []byte, c objects.Condition) (driver.Revision, error) {
	ctx, cancel := context.WithCancel(ctx) // ends an upload that failed half way
	defer cancel()
	w := b.object(name, c).NewWriter(ctx)
	w.ChunkSize = 0 // one request
	w.ContentType = "application/octet-stream"
	w.KMSKeyName = b.kmsKey
	_, err := w.Write(data)
	if closeErr := w.Close(); err == nil || closeErr != nil {
		err = closeErr // what the service has answered stands here, if it has
	}
	if err != nil {
		if err = b.classify(ctx, err, true, name); errors.Is(err, driver.ErrNotFound) {
			err = fmt.Errorf("%w: there is no object", driver.ErrConflict)
		}
		return driver.Revision{}, err
	}
	return revision(w.Attrs().Generation), nil
}

func (b *bucket) Delete(ctx context.Context, name string, at driver.Revision) error {
	err := b.object(name, objects.Condition{At: at}).Delete(ctx)
	if err != nil {
		err = b.classify(ctx, err, true, name)
	}
	switch {
	case errors.Is(err, driver.ErrNotFound) && at.IsZero():
		return nil
	case errors.Is(err, driver.ErrNotFound):
		return fmt.Errorf("%w: there is no object", driver.ErrConflict)
	}
	return err
}

// object is an object under a condition.
func (b *bucket) object(name string, c objects.Condition) *storage.ObjectHandle {
	o := b.handle.Object(name)
	switch {
	case c.Absent:
		return o.If(storage.Conditions{DoesNotExist: true})
	case !c.At.IsZero():
		return o.If(storage.Conditions{GenerationMatch: int64(c.At.Number())})
	}
	return o
}

func (b *bucket) List(ctx context.Context, prefix, after string, limit int) ([]objects.Listed, bool, error) {
	q := &storage.Query{Prefix: prefix, StartOffset: after, Projection: storage.ProjectionNoACL} // after is one of them
	if err := q.SetAttrSelection([]string{"Name", "Generation", "Size"}); err != nil {
		return nil, false, err
	}
	var found []*storage.ObjectAttrs
	next, err := iterator.NewPager(b.handle.Objects(ctx, q), limit+1, "").NextPage(&found)
	if err != nil {
		return nil, false, b.classify(ctx, err, false, "")
	}
	var page []objects.Listed
	for _, o := range found {
		if o.Name == after {
			continue
		}
		if len(page) == limit {
			return page, true, nil
		}
		page = append(page, objects.Listed{Name: o.Name, At: revision(o.Generation), Size: o.Size})
	}
	return page, next != "", nil
}

func (b *bucket) Describe(ctx context.Context, name string) (objects.Metadata, error) {
	o, err := b.handle.Object(name).Attrs(ctx)
	if err != nil {
		return objects.Metadata{}, b.classify(ctx, err, false, name)
	}
	m := objects.Metadata{Revision: revision(o.Generation), Version: strconv.FormatInt(o.Generation, 10), Size: o.Size, Modified: o.Updated}
	if o.KMSKeyName != "" {
		m.Encryption, m.Key = "kms", o.KMSKeyName
	}
	return m, nil
}

func revision(generation int64) driver.Revision { return driver.NumberRevision(uint64(generation)) }

// refused are the reasons of answers that say that nothing was begun.
var refused = []string{"rateLimitExceeded", "userRateLimitExceeded"}

// classify gives an answer of the service its kind, and leaves errors of the wire as
// they are. name is the object that was asked for, "" if it was a list.
func (b *bucket) classify(ctx context.Context, err error, writes bool, name string) error {
	var answer *googleapi.Error
	if errors.Is(err, driver.ErrDenied) || !errors.As(err, &answer) {
		return objects.WithoutURL(err)
	}
	reason := ""
	if len(answer.Errors) > 0 {
		reason = answer.Errors[0].Reason
	}
	text := answer.Message
	if text == "" {
		text = answer.Body
	}
	var kind error
	switch {
	case answer.Code == http.StatusNotFound && name == "", strings.Contains(text, "bucket does not exist"):
		return fmt.Errorf("%w: the bucket %q of the project %q does not exist; create it, or correct bucket_name", driver.ErrInvalid, b.name, b.project)
	case answer.Code == http.StatusNotFound:
		return b.absent(ctx, name, text)
	case answer.Code == http.StatusConflict:
		kind = objects.ErrContended
	case slices.Contains(refused, reason):
		kind = driver.ErrUnavailable
	default:
		kind = objects.Answer(answer.Code, writes, false)
	}
	if kind == nil {
		return objects.WithoutURL(err)
	}
	return fmt.Errorf("%w: %d %s: %s", kind, answer.Code, reason, text)
}

var errListed = errors.New("the service says that there is no object that it lists")

// absent returns ErrNotFound if it is the object that is not there: a 404 may as well
// speak of a bucket, or come from somebody astray. The service says which; where it
// says nothing a list does.
func (b *bucket) absent(ctx context.Context, name, text string) error {
	if strings.Contains(text, "No such object") {
		return driver.ErrNotFound
	}
	page, _, err := b.List(ctx, name, "", 1)
	switch {
	case err != nil:
		return err
	case len(page) > 0 && page[0].Name == name:
		return fmt.Errorf("%w: %w: %s", driver.ErrUnavailable, errListed, text)
	}
	return driver.ErrNotFound
}
