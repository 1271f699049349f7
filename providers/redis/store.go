package redis

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/calls"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Backend is the selector under which the package registers itself.
const Backend = "redis"

func init() {
	driver.Register(Backend, func(ctx context.Context, options any) (driver.Store, error) {
		c, err := driver.Options(options, Config{})
		if err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
}

const (
	maxKeyBytes     = 4096
	maxValueBytes   = 8 << 20
	maxCommitWrites = 1000
	maxCommitBytes  = 16 << 20
)

// store is what a store has whether or not all of its keys are in one hash slot.
type store struct {
	client     redis.UniversalClient
	partitions []partition
	begin      string // what begins every key
	replicas   int
	patience   time.Duration // for replicas
	caps       driver.Capabilities
	calls      calls.Calls
	life       context.Context // of watches
	end        context.CancelFunc
}

// partition is the names of what is kept for some of the keys. The braces make all of them
// one hash slot of a cluster.
type partition struct {
	index, expiries, fences, channel string
	values                           string // what begins the keys of values
}

// united is a store whose keys are all in one slot: a script can do anything with them.
type united struct{ *store }

// single is a united store in a server of its own, whose clock is the one by which all
// entries expire.
type single struct{ united }

// Open connects to Redis, and asks it for what it is: what is wrong with the credentials or
// the rights is said here. ctx bounds the opening.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	secure, err := c.tls()
	if err != nil {
		return nil, err
	}
	s := &store{replicas: c.WaitReplicas, patience: c.WaitTimeout}
	if c.Prefix != "" {
		s.begin = c.Prefix + ":"
	}
	for i := range c.Partitions {
		tag := fmt.Sprintf("%s{%d}:", s.begin, i)
		s.partitions = append(s.partitions, partition{tag + "index", tag + "expiries", tag + "fences", tag + "changes", tag + "value:"})
	}
	// The client repeats nothing: what may be repeated is decided above.
	if c.ClusterMode {
		s.client = redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: []string{c.address()}, Username: c.Username, Password: c.Password.Reveal(), TLSConfig: secure,
			Protocol: 2, MaxRetries: -1, DialerRetries: 1, DialTimeout: c.ConnectionTimeout, PoolSize: c.PoolSize,
			ReadTimeout: answer + c.WaitTimeout, ContextTimeoutEnabled: true, DisableIdentity: true,
			FailingTimeoutSeconds: 1, ClusterStateReloadInterval: time.Second,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
	} else {
		s.client = redis.NewClient(&redis.Options{
			Addr: c.address(), Username: c.Username, Password: c.Password.Reveal(), DB: c.Database, TLSConfig: secure,
			Protocol: 2, MaxRetries: -1, DialerRetries: 1, DialTimeout: c.ConnectionTimeout, PoolSize: c.PoolSize,
			ReadTimeout: answer + c.WaitTimeout, ContextTimeoutEnabled: true, DisableIdentity: true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
	}
	if err := s.greet(ctx, &c); err != nil {
		_ = s.client.Close() // nothing was written
		return nil, err
	}
	s.life, s.end = context.WithCancel(context.Background())
	switch {
	case !c.ClusterMode:
		s.caps.Commit, s.caps.RangeReads, s.caps.Clock = true, true, true
		return &single{united{s}}, nil
	case c.Partitions == 1:
		s.caps.Commit, s.caps.RangeReads = true, true
		return &united{s}, nil
	}
	s.caps.Limits.MaxCommitWrites, s.caps.Limits.MaxCommitBytes = 0, 0
	return s, nil
}

// answer is how long a reply is waited for, at most. A call whose context is cancelled
// ends then, and one whose context has a deadline at that.
const answer = 5 * time.Second

// greet sees that the server is what the configuration says, and serves this client.
func (s *store) greet(ctx context.Context, c *Config) error {
	text, err := s.client.Info(ctx).Result()
	if err != nil {
		return readError(ctx, err)
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		info[name] = value
	}
	version := info["redis_version"]
	major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0])
	switch {
	case err != nil || major < 7:
		return fmt.Errorf("%w: Redis %q; sharded channels need version 7", driver.ErrUnsupported, version)
	case info["cluster_enabled"] == "1" && !c.ClusterMode:
		return invalid("the server is part of a cluster; set ClusterMode")
	case info["cluster_enabled"] != "1" && c.ClusterMode:
		return invalid("the server is no part of a cluster; unset ClusterMode")
	}
	s.caps = driver.Capabilities{
		Backend: Backend, Version: "Redis " + version, Durability: driver.InService, Caveat: caveat(c, info["aof_enabled"] == "1"),
		Remote: true, Shared: true, Persistent: true, TTL: true, Fence: true,
		Limits:   driver.Limits{MaxKeyBytes: maxKeyBytes, MaxValueBytes: maxValueBytes, MaxCommitWrites: maxCommitWrites, MaxCommitBytes: maxCommitBytes},
		BatchGet: true, BulkPut: true, Watch: true, Expire: true,
	}
	// Stores of different partitions must not share keys.
	key, format := s.begin+"format", fmt.Sprintf("1 partitions=%d", c.Partitions)
	if _, err := s.client.SetNX(ctx, key, format, 0).Result(); err != nil {
		return readError(ctx, err) // if it was set, it was set right
	}
	now, err := s.client.Get(ctx, key).Result()
	if err != nil {
		return readError(ctx, err)
	}
	if now != format {
		return invalid("the keys there are of format %q, and this would be %q", now, format)
	}
	return s.Ping(ctx)
}

// caveat says what can take an acknowledged write.
func caveat(c *Config, appendOnly bool) string {
	text := "Redis replicates after it has acknowledged: a failover loses the writes that the new master did not have yet"
	if c.WaitReplicas > 0 {
		text = fmt.Sprintf("a write is acknowledged when %d replicas have it (WAIT), which makes its loss in a failover unlikely and not impossible: another replica may be promoted", c.WaitReplicas)
	}
	if appendOnly {
		return text + "; a crash of a server loses what its appendfsync had not flushed, a second's by default"
	}
	return text + "; the server keeps no append-only file: its crash loses what came after its last snapshot"
}

// of returns the partition of a key.
func (s *store) of(key []byte) *partition {
	if len(s.partitions) == 1 {
		return &s.partitions[0]
	}
	h := fnv.New32a()
	_, _ = h.Write(key) // it does not fail
	return &s.partitions[h.Sum32()%uint32(len(s.partitions))]
}

func (p *partition) value(key []byte) string { return p.values + string(key) }

// Capabilities implements driver.Store.
func (s *store) Capabilities() driver.Capabilities { return s.caps }

// Ping implements driver.Store.
func (s *store) Ping(ctx context.Context) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	for i := range s.partitions {
		if i > 0 && i != len(s.partitions)/2 && i != len(s.partitions)-1 {
			continue // a few of them meet every master, or nearly
		}
		if _, err := s.client.Exists(ctx, s.partitions[i].index).Result(); err != nil {
			return fmt.Errorf("ping: %w", readError(ctx, err))
		}
	}
	return nil
}

// Now implements driver.Clock.
func (s *single) Now(ctx context.Context) (time.Time, error) {
	if err := s.calls.Begin(ctx); err != nil {
		return time.Time{}, err
	}
	defer s.calls.Done()
	now, err := s.client.Time(ctx).Result()
	if err != nil {
		return time.Time{}, fmt.Errorf("now: %w", readError(ctx, err))
	}
	return now, nil
}

// Close implements driver.Store.
func (s *store) Close() error {
	if err := s.calls.Close(); err != nil {
		return err
	}
	s.end()
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// write is a command that the cluster's client is not to repeat when it does not know what
// has become of it.
type write struct{ *redis.Cmd }

// NoRetry tells the client.
func (write) NoRetry() bool { return true }

// change runs a script that writes, once, and has its replicas waited for.
func (s *store) change(ctx context.Context, script *script, keys []string, args ...any) (any, error) {
	cmd, err := s.send(ctx, "evalsha", script.Hash(), keys, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		cmd, err = s.send(ctx, "eval", script.text, keys, args)
	}
	if err != nil {
		return nil, writeError(ctx, err)
	}
	return cmd.Val(), nil
}

func (s *store) send(ctx context.Context, name, script string, keys []string, args []any) (*redis.Cmd, error) {
	words := make([]any, 0, 3+len(keys)+len(args))
	words = append(words, name, script, len(keys))
	for _, key := range keys {
		words = append(words, key)
	}
	cmd := write{redis.NewCmd(ctx, append(words, args...)...)}
	if s.replicas == 0 {
		return cmd.Cmd, s.client.Process(ctx, cmd)
	}
	// WAIT is of the connection that has written.
	node := s.client
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, keys[0])
		if err != nil {
			return nil, err
		}
		node = master
	}
	pipe := node.Pipeline()
	if err := pipe.Process(ctx, cmd); err != nil {
		return nil, err
	}
	waited := redis.NewIntCmd(ctx, "wait", s.replicas, s.patience.Milliseconds())
	if err := pipe.Process(ctx, waited); err != nil {
		return nil, err
	}
	_, err := pipe.Exec(ctx)
	if cmd.Err() != nil {
		if cluster, ok := s.client.(*redis.ClusterClient); ok && refusal(cmd.Err()) != nil {
			cluster.ReloadState(ctx)
		}
		return nil, cmd.Err()
	}
	if err == nil && waited.Val() < int64(s.replicas) {
		err = fmt.Errorf("%d replicas have it after %s, of %d", waited.Val(), s.patience, s.replicas)
	}
	return cmd.Cmd, err
}

// look runs a script that only reads.
func (s *store) look(ctx context.Context, script *script, keys []string, args ...any) (any, error) {
	reply, err := script.Run(ctx, s.client, keys, args...).Result()
	return reply, readError(ctx, err)
}

// entry returns what is stored of a key.
func entry(key []byte, stored []byte) (driver.Entry, error) {
	revision, expires, value, err := split(stored)
	if err != nil {
		return driver.Entry{}, err
	}
	return driver.Entry{Key: key, Value: value, Revision: revision, ExpiresAt: expires}, nil
}

func revisionOf(head string) driver.Revision {
	return driver.TagRevision(hex.EncodeToString([]byte(head)))
}

// head returns a revision as it is stored, "" if it is zero, and what nothing has if it is
// not of this store.
func head(r driver.Revision) string {
	if r.IsZero() {
		return ""
	}
	p, err := hex.DecodeString(r.Tag())
	if err != nil || len(p) != revisionBytes {
		return "another's"
	}
	return string(p)
}
