package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/calls"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Backend is the selector under which the package registers itself.
const Backend = "etcd"

func init() {
	driver.Register(Backend, func(ctx context.Context, options any) (driver.Store, error) {
		c, err := driver.Options(options, Config{})
		if err != nil {
			return nil, err
		}
		s, err := Open(ctx, c)
		if err != nil {
			return nil, err
		}
		return s, nil
	})
}

// What the servers let through by default, and what of it is left for keys and values
// when the largest transaction has taken its comparisons.
const (
	maxOps         = 128
	maxKeyBytes    = 1024
	maxValueBytes  = 1 << 20
	maxCommitBytes = maxValueBytes + 1<<16
)

// Store is a driver.Store in a cluster.
type Store struct {
	client  *clientv3.Client
	data    string // what begins the keys of entries
	fence   string // what begins the keys of their fences
	caps    driver.Capabilities
	calls   calls.Calls
	ttl     time.Duration // of session
	session sync.Mutex    // guards bound
	bound   *concurrency.Session
	leases  leases
}

// Open connects to a cluster, and asks it for a key: what is wrong with the credentials
// or the rights is said here. ctx bounds the opening.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	secure, err := c.tls()
	if err != nil {
		return nil, err
	}
	// The client has one context for its opening and its life.
	life, end := context.WithCancel(context.Background())
	opened := context.AfterFunc(ctx, end)
	client, err := clientv3.New(clientv3.Config{
		Endpoints: c.Endpoints, TLS: secure, Username: c.Username, Password: c.Password.Reveal(),
		Context: life, DialTimeout: c.ConnectionTimeout,
		DialKeepAliveTime: keepAlive, DialKeepAliveTimeout: c.ConnectionTimeout,
		// The client would repeat writes whose outcome it does not know where a server or
		// a proxy says "cancelled". What may be repeated is decided above.
		MaxUnaryRetries: 1,
		DialOptions: []grpc.DialOption{
			grpc.WithStatsHandler(departures{}),
			grpc.WithChainUnaryInterceptor(atOnce),
			grpc.WithConnectParams(grpc.ConnectParams{
				MinConnectTimeout: c.ConnectionTimeout,
				Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			}),
		},
		Logger: zap.NewNop(), // what goes wrong is returned
	})
	if err != nil {
		opened()
		end()
		return nil, newRequest(ctx).read(err)
	}
	s := &Store{client: client, data: "data/", fence: "fence/", ttl: c.LeaseTTL}
	if c.Prefix != "" {
		s.data, s.fence = c.Prefix+"/data/", c.Prefix+"/fence/"
	}
	err = s.greet(ctx, &c)
	if errors.Is(err, driver.ErrUnavailable) && secure != nil {
		err = refusedHandshake(ctx, &c, secure, err)
	}
	if !opened() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		end()
		_ = client.Close() // nothing was written
		return nil, err
	}
	context.AfterFunc(client.Ctx(), end)
	return s, nil
}

// keepAlive is after how long a silent connection with a call under way is asked whether
// it lives. The server closes one that asks more often than every 5 s.
const keepAlive = 6 * time.Second

// atOnce lets a call fail where no member can be reached, which the client would wait for
// as long as its context lasts.
func atOnce(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	return invoke(ctx, method, request, reply, conn, append(options, grpc.WaitForReady(false))...)
}

// greet sees that the cluster serves this client, and learns its version.
func (s *Store) greet(ctx context.Context, c *Config) error {
	r := newRequest(ctx)
	if c.Username != "" {
		_, err := s.client.Authenticate(r, c.Username, c.Password.Reveal())
		if errors.Is(err, rpctypes.ErrAuthNotEnabled) {
			return invalid("Username and Password do nothing: authentication is not enabled in this cluster")
		}
		if err != nil {
			return r.read(err)
		}
	}
	status, err := etcdserverpb.NewMaintenanceClient(s.client.ActiveConnection()).Status(r, &etcdserverpb.StatusRequest{})
	if err != nil {
		return r.read(err)
	}
	s.caps = driver.Capabilities{
		Backend: Backend, Version: "etcd " + status.Version, Durability: driver.InService, Remote: true, Shared: true, Persistent: true,
		TTL: true, Fence: true, RangeReads: true,
		Limits: driver.Limits{MaxKeyBytes: maxKeyBytes, MaxValueBytes: maxValueBytes, MaxCommitWrites: maxOps, MaxCommitBytes: maxCommitBytes},
		Commit: true, BatchGet: true, BulkPut: true, Watch: true,
	}
	return s.Ping(ctx)
}

// refusedHandshake returns why a server has ended a connection that was just made, and
// err if it does not say. TLS 1.3 lets a client write before the server has looked at its
// certificate, so that what the transport reports is often a broken pipe.
func refusedHandshake(ctx context.Context, c *Config, secure *tls.Config, err error) error {
	secure = secure.Clone()
	secure.NextProtos = []string{"h2"}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: c.ConnectionTimeout}, Config: secure}
	u, parseErr := url.Parse(c.Endpoints[0])
	if parseErr != nil {
		return err
	}
	conn, dialErr := dialer.DialContext(ctx, "tcp", u.Host)
	if dialErr == nil {
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(c.ConnectionTimeout)) // a connection has one
		_, dialErr = conn.Read(make([]byte, 1))
	}
	if alert := (*net.OpError)(nil); errors.As(dialErr, &alert) && alert.Op == "remote error" {
		return fmt.Errorf("%w: the server refuses the client's certificate, or that there is none: %w", driver.ErrDenied, dialErr)
	}
	return err
}

// Capabilities implements driver.Store. A commit whose writes have fences has half of the
// MaxCommitWrites.
func (s *Store) Capabilities() driver.Capabilities { return s.caps }

// Ping implements driver.Store: a majority of the cluster must answer.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	r := newRequest(ctx)
	if _, err := s.client.Get(r, s.data, clientv3.WithCountOnly()); err != nil {
		return fmt.Errorf("ping: %w", r.read(err))
	}
	return nil
}

// closing bounds the farewell to the cluster.
const closing = 5 * time.Second

// Close implements driver.Store. What Bind has put goes with it, if the cluster can be
// reached within 5 s, and else by its lease.
func (s *Store) Close() error {
	if err := s.calls.Close(); err != nil {
		return err
	}
	s.session.Lock()
	bound := s.bound
	s.session.Unlock()
	if bound != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closing)
		bound.Orphan()
		_, _ = s.client.Revoke(ctx, bound.Lease()) // else it runs out
		cancel()
	}
	if err := s.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
