package objects

import (
	"context"
	"errors"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// Bucket is the client of a service, as this package needs it. Names are whole names.
//
// An error that is an answer of the service wraps one of the kinds of package driver,
// or ErrContended; any other error is one of the wire, and what it says of a write
// depends on whether the request was sent. Each method sends at most one request, and
// does not repeat it.
type Bucket interface {
	// Get returns an object; ErrNotFound if there is none.
	Get(ctx context.Context, name string) (data []byte, at driver.Revision, err error)
	// Put puts an object and returns its revision; ErrConflict if the condition does
	// not hold. It does not keep data.
	Put(ctx context.Context, name string, data []byte, c Condition) (driver.Revision, error)
	// Delete deletes an object, if it is at a revision, unless that is zero;
	// ErrConflict if it is not.
	Delete(ctx context.Context, name string, at driver.Revision) error
	// List returns up to limit objects in the order of their names, whose names begin
	// with prefix and come after after; "" is from the first. more is false if there
	// are no others.
	List(ctx context.Context, prefix, after string, limit int) (page []Listed, more bool, err error)
	// Describe returns what the service tells of an object; ErrNotFound if there is
	// none.
	Describe(ctx context.Context, name string) (Metadata, error)
	// Ping asks as cheaply as can be whether the bucket can be reached.
	Ping(ctx context.Context) error
	// Close releases connections.
	Close()
}

// Condition is what must hold for a put. The zero value is nothing.
type Condition struct {
	// Absent asks that there is no object of the name.
	Absent bool
	// At, unless zero, asks that there is one at this revision.
	At driver.Revision
}

// Listed is an object of a list.
type Listed struct {
	Name string
	At   driver.Revision
	// Size is the length of the object, in bytes.
	Size int64
}

// Unguarded is implemented by buckets whose service may be one with unguarded deletes.
type Unguarded interface {
	// UnguardedDeletes reports whether the service is known to look at an object and
	// delete it in two steps, between which a put can be acknowledged: the delete then
	// removes what that has put, or the put brings back what was deleted. No trial
	// shows it. It is known once something was put.
	UnguardedDeletes() bool
}

// Versions is implemented by buckets that may keep old versions of objects.
type Versions interface {
	// Versioned reports whether this bucket keeps them, as far as puts have shown.
	Versioned() bool
	// ListVersions yields the versions of all objects whose names begin with prefix,
	// in the order of the names, and in any order for each.
	ListVersions(ctx context.Context, prefix string, yield func(Version) error) error
	// DeleteVersion removes one version for good.
	DeleteVersion(ctx context.Context, name, version string) error
}

// Version is one version of an object.
type Version struct {
	Name, Version string
	// Size is the length of the object, in bytes.
	Size int64
	// Newest: it is what a reader of the name sees.
	Newest bool
	// Marker: it says that the object was deleted.
	Marker bool
}

// Metadata is what a service tells of an object beside its bytes. What it does not
// tell is zero.
type Metadata struct {
	// Revision is the one that the store has for the object. Above it package intent
	// has revisions of its own.
	Revision driver.Revision
	// Version is the bucket's name of this version, where it keeps versions.
	Version string
	// Size is the length of the object, in bytes, with what the store adds.
	Size int64
	// Modified is when it was put, by the service's clock.
	Modified time.Time
	// Encryption is how the service has encrypted it: "AES256", "aws:kms".
	Encryption string
	// Key names the key of the encryption, or is the hash of one that the customer
	// has.
	Key string
}

// ErrContended: the service did not decide the condition, as another request for the
// same object was under way. Nothing was applied; the store asks again.
var ErrContended = errors.New("another request for the object is under way")
