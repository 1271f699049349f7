package backup

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// An object in a provider is an entry that says of what it is made, and its chunks:
//
//	"backup/object/" name                  JSON: {"version":1,"id":ID,"bytes":n,"chunks":n}
//	"backup/chunk/" name 00 ID "/" number  so many bytes; the number in 8 hexadecimal digits
//
// The first is written when all chunks are there, so that an object is whole or not
// there; each writing of it has an ID of its own.
const (
	objectPrefix  = "backup/object/"
	chunkPrefix   = "backup/chunk/"
	objectVersion = 1
)

// maxChunk bounds a chunk, beside what the provider takes.
const maxChunk = 512 << 10

type objectHead struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Bytes   int64  `json:"bytes"`
	Chunks  int    `json:"chunks"`
}

// In returns a provider as a Place, which keeps objects in chunks. The provider stays the
// caller's.
func In(p *providers.Provider) Place { return inProvider{p} }

type inProvider struct{ p *providers.Provider }

func (p inProvider) String() string { return p.p.Name() }

func chunkKey(name, id string, n int) []byte {
	return fmt.Appendf(nil, "%s%s\x00%s/%08x", chunkPrefix, name, id, n)
}

func (p inProvider) head(ctx context.Context, name string) (h objectHead, err error) {
	key := []byte(objectPrefix + name)
	e, err := p.p.Get(ctx, key)
	if err != nil {
		return h, fmt.Errorf("object %s in %s: %w", name, p, err)
	}
	if err := json.Unmarshal(e.Value, &h); err != nil || h.Version != objectVersion {
		return h, driver.KeyError("decode object", key, fmt.Errorf("%w: version %d, %v", driver.ErrCorrupt, h.Version, err))
	}
	return h, nil
}

// Create implements Place.
func (p inProvider) Create(ctx context.Context, name string) (Object, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	size := min(maxChunk, p.p.Capabilities().Limits.MaxValueBytes)
	if size < 1 {
		return nil, fmt.Errorf("%w: %s takes no values", driver.ErrUnsupported, p)
	}
	return &object{place: p, ctx: ctx, name: name, head: objectHead{Version: objectVersion, ID: hex.EncodeToString(id[:])}, chunk: make([]byte, 0, size)}, nil
}

type object struct {
	place inProvider
	ctx   context.Context
	name  string
	head  objectHead
	chunk []byte
	ended bool
}

// Write implements Object.
func (o *object) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), cap(o.chunk)-len(o.chunk))]
		o.chunk = append(o.chunk, part...)
		p, n = p[len(part):], n+len(part)
		if len(o.chunk) == cap(o.chunk) {
			if err := o.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (o *object) flush() error {
	if len(o.chunk) == 0 {
		return nil
	}
	if _, err := o.place.p.Put(o.ctx, chunkKey(o.name, o.head.ID, o.head.Chunks), o.chunk, providers.PutOptions{}); err != nil {
		return fmt.Errorf("object %s in %s: %w", o.name, o.place, err)
	}
	o.head.Chunks++
	o.head.Bytes += int64(len(o.chunk))
	o.chunk = o.chunk[:0]
	return nil
}

// Commit implements Object.
func (o *object) Commit() error {
	if err := o.flush(); err != nil {
		o.Abort()
		return err
	}
	old, err := o.place.head(o.ctx, o.name)
	if err != nil && !errors.Is(err, driver.ErrNotFound) {
		return err
	}
	value, err := json.Marshal(o.head)
	if err != nil {
		return err
	}
	o.ended = true
	if _, err := o.place.p.Put(o.ctx, []byte(objectPrefix+o.name), value, providers.PutOptions{}); err != nil {
		return fmt.Errorf("object %s in %s: %w", o.name, o.place, err)
	}
	return o.place.removeChunks(o.ctx, o.name, old)
}

// Abort implements Object.
func (o *object) Abort() {
	if !o.ended {
		o.ended = true
		// What stays is found when the object is removed, or its base.
		_ = o.place.removeChunks(context.WithoutCancel(o.ctx), o.name, o.head)
	}
}

func (p inProvider) removeChunks(ctx context.Context, name string, h objectHead) error {
	for n := range h.Chunks {
		if err := p.p.Delete(ctx, chunkKey(name, h.ID, n), providers.DeleteOptions{}); err != nil {
			return fmt.Errorf("object %s in %s: %w", name, p, err)
		}
	}
	return nil
}

// Open implements Place.
func (p inProvider) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	h, err := p.head(ctx, name)
	if err != nil {
		return nil, err
	}
	return &objectReader{place: p, ctx: ctx, name: name, head: h}, nil
}

type objectReader struct {
	place inProvider
	ctx   context.Context
	name  string
	head  objectHead
	next  int
	read  int64
	chunk []byte
}

func (r *objectReader) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 {
		if r.next == r.head.Chunks {
			if r.read != r.head.Bytes {
				return 0, fmt.Errorf("object %s in %s: %w: %d bytes, and it should have %d", r.name, r.place, driver.ErrCorrupt, r.read, r.head.Bytes)
			}
			return 0, io.EOF
		}
		e, err := r.place.p.Get(r.ctx, chunkKey(r.name, r.head.ID, r.next))
		if errors.Is(err, driver.ErrNotFound) {
			err = fmt.Errorf("%w: chunk %d is missing", driver.ErrCorrupt, r.next)
		}
		if err != nil {
			return 0, fmt.Errorf("object %s in %s: %w", r.name, r.place, err)
		}
		r.chunk = e.Value
		r.read += int64(len(r.chunk))
		r.next++
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

func (r *objectReader) Close() error { return nil }

// List implements Place.
func (p inProvider) List(ctx context.Context, prefix string) (names []string, err error) {
	for e, err := range p.p.List(ctx, providers.ListOptions{Prefix: []byte(objectPrefix + prefix), KeysOnly: true}) {
		if err != nil {
			return nil, fmt.Errorf("list objects in %s: %w", p, err)
		}
		names = append(names, string(e.Key[len(objectPrefix):]))
	}
	slices.Sort(names)
	return names, nil
}

// Remove implements Place. Chunks of writings that were not finished go too.
func (p inProvider) Remove(ctx context.Context, name string) error {
	if err := p.p.Delete(ctx, []byte(objectPrefix+name), providers.DeleteOptions{}); err != nil {
		return fmt.Errorf("remove object %s in %s: %w", name, p, err)
	}
	var keys [][]byte
	for e, err := range p.p.List(ctx, providers.ListOptions{Prefix: []byte(chunkPrefix + name + "\x00"), KeysOnly: true}) {
		if err != nil {
			return fmt.Errorf("remove object %s in %s: %w", name, p, err)
		}
		keys = append(keys, bytes.Clone(e.Key))
	}
	for _, key := range keys {
		if err := p.p.Delete(ctx, key, providers.DeleteOptions{}); err != nil {
			return fmt.Errorf("remove object %s in %s: %w", name, p, err)
		}
	}
	return nil
}

// Sweep implements Place.
func (p inProvider) Sweep(ctx context.Context) (n int, err error) {
	var keys [][]byte
	name, id, writings := "", "", map[string]bool{}
	for e, err := range p.p.List(ctx, providers.ListOptions{Prefix: []byte(chunkPrefix), KeysOnly: true}) {
		if err != nil {
			return 0, fmt.Errorf("sweep %s: %w", p, err)
		}
		of, rest, _ := strings.Cut(string(e.Key[len(chunkPrefix):]), "\x00")
		writing, _, _ := strings.Cut(rest, "/")
		if of != name || id == "" {
			h, err := p.head(ctx, of)
			if err != nil && !errors.Is(err, driver.ErrNotFound) {
				return 0, err
			}
			if name, id = of, h.ID; id == "" {
				id = "none"
			}
		}
		if writing != id {
			keys = append(keys, bytes.Clone(e.Key))
			writings[of+"/"+writing] = true
		}
	}
	for _, key := range keys {
		if err := p.p.Delete(ctx, key, providers.DeleteOptions{}); err != nil {
			return 0, fmt.Errorf("sweep %s: %w", p, err)
		}
	}
	return len(writings), nil
}
