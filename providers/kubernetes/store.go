package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
)

// scheme has the kinds of object that are used, and no others: those of the whole client
// take a program as much again.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{core.AddToScheme, coordination.AddToScheme} {
		if err := add(s); err != nil {
			panic("kubernetes: " + err.Error()) // two types under one name, in this program
		}
	}
	meta.AddToGroupVersion(s, schema.GroupVersion{Version: "v1"})
	return s
}()

var parameters = runtime.NewParameterCodec(scheme)

// Store is a driver.Store over the objects of a cluster.
type Store struct {
	c      Config
	caps   driver.Capabilities
	writer string
	http   *http.Client
	core   rest.Interface
	leases rest.Interface

	// orphanAge is how old parts must be that Compact removes.
	orphanAge time.Duration

	life  context.Context // ends with Close
	end   context.CancelFunc
	calls sync.WaitGroup

	mu     sync.Mutex // guards what follows
	closed bool
	// parted are the parts of large values that were read or written last, by the name and
	// the version of their object, so that they can be removed when that is replaced.
	parted map[string]known
}

type known struct {
	version string
	parts   parts
}

// maxParted bounds what is remembered of parts; what is forgotten, Compact removes.
const maxParted = 1000

// Open opens a store, and makes its settings if there are none.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	c, err := c.normalised()
	if err != nil {
		return nil, err
	}
	r, err := c.cluster()
	if err != nil {
		return nil, err
	}
	// The client's own limit of five requests a second is for tools.
	r.QPS, r.RateLimiter = -1, nil
	if r.UserAgent == "" {
		r.UserAgent = "orbit"
	}
	// One connection for each request under way: a connection that hangs, as one of HTTP/2
	// can for a minute, holds up that request alone.
	r.NextProtos = []string{"http/1.1"}
	r.ContentType, r.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	s := &Store{c: c, orphanAge: time.Hour, parted: map[string]known{}}
	if s.writer, err = os.Hostname(); err != nil {
		s.writer = "orbit"
	}
	if s.http, err = rest.HTTPClientFor(r); err != nil {
		return nil, fmt.Errorf("%w: %v", driver.ErrInvalid, err)
	}
	client := func(gv schema.GroupVersion, path string) (rest.Interface, error) {
		own := rest.CopyConfig(r)
		own.GroupVersion, own.APIPath, own.NegotiatedSerializer = &gv, path, serializer.NewCodecFactory(scheme).WithoutConversion()
		i, err := rest.RESTClientForConfigAndClient(own, s.http)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", driver.ErrInvalid, err)
		}
		return i, nil
	}
	if s.core, err = client(core.SchemeGroupVersion, "/api"); err != nil {
		return nil, err
	}
	if s.leases, err = client(coordination.SchemeGroupVersion, "/apis"); err != nil {
		return nil, err
	}
	s.life, s.end = context.WithCancel(context.Background())
	server, err := s.version(ctx)
	if err == nil {
		err = s.settings(ctx)
	}
	if err != nil {
		s.end()
		utilnet.CloseIdleConnectionsFor(s.http.Transport) // also beneath what adds a token
		return nil, err
	}
	key := maxKey(c.ConfigMapName)
	if c.SecretName != "" {
		key = min(key, maxKey(c.SecretName))
	}
	s.caps = driver.Capabilities{
		Backend: Backend, Version: "Kubernetes " + server, Durability: driver.InService, Remote: true, Shared: true, Persistent: true,
		Limits: driver.Limits{MaxKeyBytes: key, MaxValueBytes: maxParts * (maxInline - inlineHeader)},
		Watch:  true, Compact: true,
	}
	return s, nil
}

func (s *Store) version(ctx context.Context) (string, error) {
	data, err := s.core.Get().AbsPath("/version").MaxRetries(0).SetHeader("Accept", runtime.ContentTypeJSON).Do(ctx).Raw()
	if err != nil {
		return "", failure(ctx, false, err)
	}
	var v version.Info
	if err := json.Unmarshal(data, &v); err != nil {
		return "", fmt.Errorf("%w: what answers is no API server: %v", driver.ErrInvalid, err)
	}
	return v.GitVersion, nil
}

// settings makes the object with the settings, or compares it with those of this client.
func (s *Store) settings(ctx context.Context) error {
	want := map[string]string{"format": "1", "secret_name": s.c.SecretName, "secret_prefixes": fmt.Sprintf("%q", s.c.SecretPrefixes)}
	for {
		var is core.ConfigMap
		err := failure(ctx, false, s.core.Get().Namespace(s.c.Namespace).Resource("configmaps").Name(s.c.ConfigMapName).MaxRetries(0).Do(ctx).Into(&is))
		if err == nil {
			if !maps.Equal(is.Data, want) {
				return fmt.Errorf("%w: ConfigMap %s/%s says that the store has the settings %v; this client has %v, and would look for entries where they are not",
					driver.ErrInvalid, s.c.Namespace, s.c.ConfigMapName, is.Data, want)
			}
			return nil
		}
		if !errors.Is(err, driver.ErrNotFound) {
			return fmt.Errorf("settings: %w", err)
		}
		made := &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: s.c.ConfigMapName, Namespace: s.c.Namespace}, Data: want}
		err = failure(ctx, true, s.core.Post().Namespace(s.c.Namespace).Resource("configmaps").Body(made).MaxRetries(0).Do(ctx).Error())
		switch {
		case err == nil, errors.Is(err, driver.ErrConflict): // it is looked at
		case errors.Is(err, driver.ErrNotFound):
			return fmt.Errorf("%w: the namespace %s is not there: %v", driver.ErrInvalid, s.c.Namespace, err)
		default:
			return fmt.Errorf("settings: %w", err)
		}
	}
}

// begin counts a call, unless the store is closed.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return driver.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// Close implements driver.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return driver.ErrClosed
	}
	s.end()
	s.calls.Wait()
	utilnet.CloseIdleConnectionsFor(s.http.Transport) // also beneath what adds a token
	return nil
}

// Capabilities implements driver.Store.
func (s *Store) Capabilities() driver.Capabilities { return s.caps }

// Ping implements driver.Store: the settings can be read.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	_, err := s.fetch(ctx, configMaps, s.c.ConfigMapName)
	if errors.Is(err, driver.ErrNotFound) {
		return fmt.Errorf("ping: %w: the settings are gone: %v", driver.ErrUnavailable, err)
	}
	return err
}

// kinds returns those that entries of this store can be.
func (s *Store) kinds() []*kind {
	if s.c.SecretName == "" {
		return []*kind{configMaps, leases}
	}
	return []*kind{configMaps, secrets, leases}
}

// kindOf returns the kind of object that holds a key.
func (s *Store) kindOf(key []byte) *kind {
	text := string(key)
	switch {
	case strings.HasPrefix(text, leasePrefix):
		return leases
	case slices.ContainsFunc(s.c.SecretPrefixes, func(p string) bool { return strings.HasPrefix(text, p) }):
		return secrets
	}
	return configMaps
}

// nameOf returns the store's name in the names of a kind.
func (s *Store) nameOf(k *kind) string {
	if k == secrets {
		return s.c.SecretName
	}
	return s.c.ConfigMapName
}

func (s *Store) client(k *kind) rest.Interface {
	if k == leases {
		return s.leases
	}
	return s.core
}

func (s *Store) place(k *kind, key []byte) string {
	return s.nameOf(k) + "." + digits.EncodeToString(key)
}

// fetch reads one object. Requests are made once: what the client would repeat may have
// been applied.
func (s *Store) fetch(ctx context.Context, k *kind, name string) (runtime.Object, error) {
	o := k.empty()
	err := s.client(k).Get().Namespace(s.c.Namespace).Resource(k.resource).Name(name).MaxRetries(0).Do(ctx).Into(o)
	return o, failure(ctx, false, err)
}

func (s *Store) create(ctx context.Context, k *kind, o runtime.Object) (runtime.Object, error) {
	made := k.empty()
	err := s.client(k).Post().Namespace(s.c.Namespace).Resource(k.resource).Body(o).MaxRetries(0).Do(ctx).Into(made)
	return made, failure(ctx, true, err)
}

func (s *Store) update(ctx context.Context, k *kind, name string, o runtime.Object) (runtime.Object, error) {
	made := k.empty()
	err := s.client(k).Put().Namespace(s.c.Namespace).Resource(k.resource).Name(name).Body(o).MaxRetries(0).Do(ctx).Into(made)
	return made, failure(ctx, true, err)
}

// remove deletes an object, at a version unless that is "".
func (s *Store) remove(ctx context.Context, k *kind, name, version string) error {
	o := &meta.DeleteOptions{}
	if number, _, _ := strings.Cut(version, " "); number != "" {
		o.Preconditions = &meta.Preconditions{ResourceVersion: &number}
	}
	err := s.client(k).Delete().Namespace(s.c.Namespace).Resource(k.resource).Name(name).Body(o).MaxRetries(0).Do(ctx).Error()
	return failure(ctx, true, err)
}
