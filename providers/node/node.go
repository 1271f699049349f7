// Package node keeps the directory of the members of a cluster in any provider.
//
// A node is one entry, under "node/", its namespace and its key; its value is JSON
// with a version. A node whose lease has expired is not shown, unless that is asked
// for. Time is the backend's where it has a clock, else that of Options.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/tuple"
)

// ID names a node within a namespace.
type ID struct {
	Key       string `json:"key"`
	Namespace string `json:"namespace"`
}

// String returns "namespace/key", both escaped as in a URL's path, so that ParseID
// reads back what it was.
func (id ID) String() string { return url.PathEscape(id.Namespace) + "/" + url.PathEscape(id.Key) }

// ParseID reads what String writes; anything else is ErrInvalid.
func ParseID(s string) (ID, error) {
	namespace, key, ok := strings.Cut(s, "/")
	if ok {
		n, err1 := url.PathUnescape(namespace)
		k, err2 := url.PathUnescape(key)
		if id := (ID{Key: k, Namespace: n}); err1 == nil && err2 == nil && id.String() == s {
			return id, nil
		}
	}
	return ID{}, fmt.Errorf("%w: %s is not a node, namespace/key", driver.ErrInvalid, engine.QuoteKey([]byte(s)))
}

// Status is what a node does.
type Status string

const (
	// Active nodes take work.
	Active Status = "Active"
	// Draining nodes finish what they have.
	Draining Status = "Draining"
	// Stopped nodes have ended.
	Stopped Status = "Stopped"
)

// Capabilities tell what a node can do.
type Capabilities struct {
	// AddressableTypes are the types that it hosts.
	AddressableTypes []string `json:"addressable_types,omitempty"`
	// MaxAddressables is how many it takes; nil is no bound.
	MaxAddressables *int `json:"max_addressables,omitempty"`
	// Tags are the cluster's own.
	Tags map[string]string `json:"tags,omitempty"`
}

// Lease is for how long a node is believed to live.
type Lease struct {
	ExpiresAt time.Time `json:"expires_at"`
	// RenewAt is when the node should renew it.
	RenewAt time.Time `json:"renew_at"`
	// ChallengeToken, if it is set, is what a renewal must show. It is no secret: it
	// tells the node of today from one of yesterday with the same ID.
	ChallengeToken string `json:"challenge_token,omitempty"`
}

// Info is a node.
type Info struct {
	ID           ID           `json:"id"`
	URL          string       `json:"url"`
	Port         int          `json:"port"`
	Capabilities Capabilities `json:"capabilities"`
	Status       Status       `json:"status"`
	// Lease is nil for a node that never expires.
	Lease *Lease `json:"lease,omitempty"`
}

// record is what is stored.
type record struct {
	Version int `json:"version"`
	Info
}

const recordVersion = 1

// Options set up a directory.
type Options struct {
	// Now is the clock where the backend has none; nil is the system's.
	Now func() time.Time
	// IncludeExpired shows nodes whose lease has expired, too.
	IncludeExpired bool
}

// Directory is the directory of nodes in one provider.
type Directory struct {
	p *providers.Provider
	o Options
}

// New returns the directory in p, which stays the caller's.
func New(p *providers.Provider, o Options) *Directory {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Directory{p, o}
}

var prefix = []byte("node/")

func key(id ID) []byte {
	return tuple.Append(tuple.Append(append([]byte(nil), prefix...), id.Namespace), id.Key)
}

// now returns the backend's time, or one's own.
func (d *Directory) now(ctx context.Context) (time.Time, error) {
	if d.p.Capabilities().Clock {
		return d.p.Now(ctx)
	}
	return d.o.Now(), nil
}

func (n *Info) expired(now time.Time) bool { return n.Lease != nil && !n.Lease.ExpiresAt.After(now) }

func (n *Info) check() error {
	switch {
	case n.ID.Key == "":
		return fmt.Errorf("%w: a node without a key", driver.ErrInvalid)
	case n.Port < 0 || n.Port > 65535:
		return fmt.Errorf("node %s: %w: port %d", n.ID, driver.ErrInvalid, n.Port)
	case n.Status != Active && n.Status != Draining && n.Status != Stopped:
		return fmt.Errorf("node %s: %w: status %q; it is Active, Draining or Stopped", n.ID, driver.ErrInvalid, string(n.Status))
	}
	return nil
}

func encode(n *Info) ([]byte, error) { return json.Marshal(record{recordVersion, *n}) }

func decode(e providers.Entry) (Info, error) {
	var r record
	if err := json.Unmarshal(e.Value, &r); err != nil {
		return Info{}, driver.KeyError("decode node", e.Key, fmt.Errorf("%w: %w", driver.ErrCorrupt, err))
	}
	if r.Version != recordVersion {
		return Info{}, driver.KeyError("decode node", e.Key, fmt.Errorf("%w: version %d; this program knows version %d", driver.ErrCorrupt, r.Version, recordVersion))
	}
	return r.Info, nil
}

// Store stores a node, whatever was there.
func (d *Directory) Store(ctx context.Context, n Info) error {
	if err := n.check(); err != nil {
		return err
	}
	data, err := encode(&n)
	if err != nil {
		return err
	}
	_, err = d.p.Put(ctx, key(n.ID), data, providers.PutOptions{})
	return err
}

// Update stores a node that is there; ErrNotFound if it is not.
func (d *Directory) Update(ctx context.Context, n Info) error {
	if err := n.check(); err != nil {
		return err
	}
	return d.change(ctx, n.ID, func(old *Info) error { *old = n; return nil })
}

// change reads a node, lets f change it, and stores it if it is still the same, again
// and again until it is.
func (d *Directory) change(ctx context.Context, id ID, f func(*Info) error) error {
	for {
		now, err := d.now(ctx)
		if err != nil {
			return err
		}
		e, err := d.p.Get(ctx, key(id))
		if err != nil {
			return fmt.Errorf("node %s: %w", id, err)
		}
		n, err := decode(e)
		if err != nil {
			return err
		}
		if n.expired(now) && !d.o.IncludeExpired {
			return fmt.Errorf("node %s: %w: its lease has expired; store it again", id, driver.ErrNotFound)
		}
		if err := f(&n); err != nil {
			return err
		}
		data, err := encode(&n)
		if err != nil {
			return err
		}
		_, err = d.p.Put(ctx, key(id), data, providers.PutOptions{IfRevision: e.Revision})
		if !errors.Is(err, driver.ErrConflict) {
			return err
		}
	}
}

// Get returns a node; ErrNotFound if it is not there, or its lease has expired.
func (d *Directory) Get(ctx context.Context, id ID) (Info, error) {
	e, err := d.p.Get(ctx, key(id))
	if err != nil {
		return Info{}, err
	}
	n, err := decode(e)
	if err != nil || n.Lease == nil || d.o.IncludeExpired {
		return n, err
	}
	now, err := d.now(ctx)
	if err != nil {
		return Info{}, err
	}
	if n.expired(now) {
		return Info{}, driver.ErrNotFound
	}
	return n, nil
}

// Remove removes a node, and reports whether it was there.
func (d *Directory) Remove(ctx context.Context, id ID) (bool, error) {
	for {
		e, err := d.p.Get(ctx, key(id))
		if errors.Is(err, driver.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		err = d.p.Delete(ctx, key(id), providers.DeleteOptions{IfRevision: e.Revision})
		if !errors.Is(err, driver.ErrConflict) {
			return err == nil, err
		}
	}
}

// List yields all nodes by namespace and key, whatever their status.
func (d *Directory) List(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		now, err := d.now(ctx)
		if err != nil {
			yield(Info{}, err)
			return
		}
		for e, err := range d.p.List(ctx, providers.ListOptions{Prefix: prefix}) {
			var n Info
			if err == nil {
				n, err = decode(e)
			}
			if err == nil && n.expired(now) && !d.o.IncludeExpired {
				continue
			}
			if !yield(n, err) || err != nil {
				return
			}
		}
	}
}

// ListActive yields the nodes that take work: active ones with a lease that has not
// expired, or without one.
func (d *Directory) ListActive(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		now, err := d.now(ctx)
		if err != nil {
			yield(Info{}, err)
			return
		}
		for n, err := range d.List(ctx) {
			if err == nil && (n.Status != Active || n.expired(now)) {
				continue
			}
			if !yield(n, err) {
				return
			}
		}
	}
}

// CleanupExpired removes the nodes whose lease has expired, and returns how many.
func (d *Directory) CleanupExpired(ctx context.Context) (int, error) {
	now, err := d.now(ctx)
	if err != nil {
		return 0, err
	}
	removed := 0
	for e, err := range d.p.List(ctx, providers.ListOptions{Prefix: prefix}) {
		if err != nil {
			return removed, err
		}
		n, err := decode(e)
		if err != nil {
			return removed, err
		}
		if !n.expired(now) {
			continue
		}
		// One that was renewed in the meantime stays.
		err = d.p.Delete(ctx, e.Key, providers.DeleteOptions{IfRevision: e.Revision})
		switch {
		case err == nil:
			removed++
		case !errors.Is(err, driver.ErrConflict):
			return removed, err
		}
	}
	return removed, nil
}

// RenewLease gives a node a new lease. A node that is not there, or has expired, is
// ErrNotFound; a challenge token that is not the stored one is ErrFenced: another node
// has taken the ID.
func (d *Directory) RenewLease(ctx context.Context, id ID, lease Lease) error {
	return d.change(ctx, id, func(n *Info) error {
		if n.Lease != nil && n.Lease.ChallengeToken != "" && n.Lease.ChallengeToken != lease.ChallengeToken {
			return fmt.Errorf("renew the lease of node %s: %w: another challenge token is stored", id, driver.ErrFenced)
		}
		n.Lease = &lease
		return nil
	})
}
