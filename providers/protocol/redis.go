package protocol

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// RedisStore is the store of redis: values under any keys but the empty one, which may
// expire.
type RedisStore struct{ *Store }

// Value is a value with the time at which it expires, zero for never.
type Value struct {
	Data      []byte
	ExpiresAt time.Time
}

const (
	redisVersion = 1
	redisHeader  = 9
	// timeDigits is the length of a time in a key: nanoseconds since 1970, in decimal.
	timeDigits = 20
)

// expires is in nanoseconds since 1970; 0 is never.
func encodeRedis(expires int64, data []byte) []byte {
	value := binary.BigEndian.AppendUint64([]byte{redisVersion}, uint64(expires))
	return append(value, data...)
}

func decodeRedis(value []byte) (expires int64, data []byte, err error) {
	if len(value) < redisHeader || value[0] != redisVersion || value[1] >= 0x80 {
		return 0, nil, fmt.Errorf("%w: %d bytes are no value of version %d", engine.ErrCorrupt, len(value), redisVersion)
	}
	return int64(binary.BigEndian.Uint64(value[1:])), value[redisHeader:], nil
}

func expiryKey(expires int64, key string) string {
	return fmt.Sprintf("%0*d:%s", timeDigits, expires, key)
}

// decodeExpiry returns what expiryKey was given.
func decodeExpiry(entry string) (expires int64, key string, err error) {
	if len(entry) > timeDigits && entry[timeDigits] == ':' {
		expires, err = strconv.ParseInt(entry[:timeDigits], 10, 64)
		if err == nil && expires > 0 && expiryKey(expires, entry[timeDigits+1:]) == entry {
			return expires, entry[timeDigits+1:], nil
		}
	}
	return 0, "", fmt.Errorf("%w: %s is no time, colon and key", engine.ErrCorrupt, engine.QuoteKey([]byte(entry)))
}

// stored returns what there is of a key, whether it has expired or not; found is false if
// there is nothing.
func (s *RedisStore) stored(ctx context.Context, key string) (expires int64, data []byte, found bool, err error) {
	if key == "" {
		return 0, nil, false, fmt.Errorf("%w: the empty key", engine.ErrInvalid)
	}
	value, err := s.get(ctx, redisDataFamily, key)
	if errors.Is(err, engine.ErrNotFound) {
		return 0, nil, false, nil
	}
	if err == nil {
		expires, data, err = decodeRedis(value)
	}
	if err != nil {
		return 0, nil, false, engine.KeyError("get", []byte(key), err)
	}
	return expires, data, true, nil
}

// live returns what there is of a key that has not expired.
func (s *RedisStore) live(ctx context.Context, key string) (expires int64, data []byte, found bool, err error) {
	expires, data, found, err = s.stored(ctx, key)
	return expires, data, found && !s.expired(expires), err
}

func (s *RedisStore) expired(expires int64) bool {
	return expires != 0 && expires <= s.o.Now().UnixNano()
}

// Get returns the value of a key; ErrNotFound if there is none, or it has expired.
func (s *RedisStore) Get(ctx context.Context, key string) (Value, error) {
	expires, data, found, err := s.live(ctx, key)
	if err != nil {
		return Value{}, err
	}
	if !found {
		return Value{}, engine.ErrNotFound
	}
	v := Value{Data: data}
	if expires != 0 {
		v.ExpiresAt = time.Unix(0, expires).UTC()
	}
	return v, nil
}

// Set sets a key to a value that lives for ttl, 0 for ever. What the key had before, its
// time too, is gone.
func (s *RedisStore) Set(ctx context.Context, key string, data []byte, ttl time.Duration) error {
	return s.change(ctx, key, func(_ int64, _ []byte, _ bool) (*Value, error) {
		v := &Value{Data: data}
		return v, s.until(v, ttl)
	})
}

// until sets when a value expires.
func (s *RedisStore) until(v *Value, ttl time.Duration) error {
	now := s.o.Now()
	switch {
	case ttl < 0:
		return fmt.Errorf("%w: a TTL of %s", engine.ErrInvalid, ttl)
	case ttl > 0 && now.Add(ttl).UnixNano() <= now.UnixNano():
		return fmt.Errorf("%w: a TTL of %s ends beyond the year 2262", engine.ErrInvalid, ttl)
	case ttl > 0:
		v.ExpiresAt = now.Add(ttl)
	}
	return nil
}

// change replaces what there is of a key by what f makes of it, nil to leave it as it is.
// The entry of the old time goes with the old value, at one moment.
func (s *RedisStore) change(ctx context.Context, key string, f func(expires int64, data []byte, found bool) (*Value, error)) error {
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	old, data, there, err := s.stored(ctx, key)
	if err != nil {
		return err
	}
	to, err := f(old, data, there && !s.expired(old))
	if err != nil || to == nil {
		return engine.KeyError("set", []byte(key), err)
	}
	b := s.batch()
	expires := int64(0)
	if !to.ExpiresAt.IsZero() {
		expires = to.ExpiresAt.UnixNano()
	}
	if there && old != 0 && old != expires {
		b.remove(redisExpiryFamily, expiryKey(old, key))
	}
	if expires != 0 {
		b.put(redisExpiryFamily, expiryKey(expires, key), nil)
	}
	b.put(redisDataFamily, key, encodeRedis(expires, to.Data))
	return engine.KeyError("set", []byte(key), b.write(ctx))
}

// Expire has a key live for ttl from now on, 0 for ever; false if it is not there.
func (s *RedisStore) Expire(ctx context.Context, key string, ttl time.Duration) (found bool, err error) {
	err = s.change(ctx, key, func(_ int64, data []byte, live bool) (*Value, error) {
		if found = live; !live {
			return nil, nil
		}
		v := &Value{Data: data}
		return v, s.until(v, ttl)
	})
	return found && err == nil, err
}

// Delete removes a key; false if it was not there.
func (s *RedisStore) Delete(ctx context.Context, key string) (found bool, err error) {
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return false, err
	}
	defer release()
	expires, _, there, err := s.stored(ctx, key)
	if err != nil || !there {
		return false, err
	}
	found = !s.expired(expires)
	b := s.batch()
	b.remove(redisDataFamily, key)
	if expires != 0 {
		b.remove(redisExpiryFamily, expiryKey(expires, key))
	}
	if err := b.writeDelete(ctx); err != nil {
		return false, engine.KeyError("delete", []byte(key), err)
	}
	return found, nil
}

// Keys yields the keys with a prefix that have not expired, in order.
func (s *RedisStore) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for e, err := range s.list(ctx, redisDataFamily, prefix, "") {
			var expires int64
			if err == nil {
				if expires, _, err = decodeRedis(e.value); err != nil {
					err = engine.KeyError("list", []byte(e.key), err)
				}
			}
			if err != nil {
				yield("", err)
				return
			}
			if !s.expired(expires) && !yield(e.key, nil) {
				return
			}
		}
	}
}

// Sweep removes what has expired, and returns how many values that were. It looks at each
// value before it removes it: one that was set again since lives on.
func (s *RedisStore) Sweep(ctx context.Context) (removed int, err error) {
	now := s.o.Now().UnixNano()
	for e, err := range s.list(ctx, redisExpiryFamily, "", "") {
		if err != nil {
			return removed, fmt.Errorf("sweep: %w", err)
		}
		expires, key, err := decodeExpiry(e.key)
		if err != nil {
			return removed, fmt.Errorf("sweep: %w", err)
		}
		if expires > now {
			break
		}
		gone, err := s.sweepOne(ctx, e.key, expires, key)
		if err != nil {
			return removed, fmt.Errorf("sweep: %w", err)
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

func (s *RedisStore) sweepOne(ctx context.Context, entry string, due int64, key string) (gone bool, err error) {
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return false, err
	}
	defer release()
	expires, _, there, err := s.stored(ctx, key)
	if err != nil {
		return false, err
	}
	b := s.batch()
	b.remove(redisExpiryFamily, entry)
	if gone = there && expires == due; gone {
		b.remove(redisDataFamily, key)
	}
	return gone, b.writeDelete(ctx)
}

// SetMetadata sets a named thing beside the keys, of the caller's making.
func (s *RedisStore) SetMetadata(ctx context.Context, name string, value []byte) error {
	return s.setMetadata(ctx, redisMetadataFamily, name, value)
}

// Metadata returns what SetMetadata was given; ErrNotFound if it is not there.
func (s *RedisStore) Metadata(ctx context.Context, name string) ([]byte, error) {
	return s.get(ctx, redisMetadataFamily, name)
}

func (s *Store) setMetadata(ctx context.Context, of, name string, value []byte) error {
	if name == "" {
		return fmt.Errorf("%w: metadata without a name", engine.ErrInvalid)
	}
	b := s.batch()
	b.put(of, name, value)
	return b.write(ctx)
}
