package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// Put implements driver.Store.
func (s *store) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	if err := s.calls.Begin(ctx); err != nil {
		return driver.Revision{}, err
	}
	defer s.calls.Done()
	if err := s.caps.CheckPut(key, value, o); err != nil {
		return driver.Revision{}, err
	}
	m := &driver.Commit{Writes: []driver.Write{{Key: key, Value: value, TTL: o.TTL, Fence: o.Fence}}}
	if o.IfAbsent || !o.IfRevision.IsZero() {
		m.Reads = []driver.Read{{Key: key, Revision: o.IfRevision}}
	}
	r, err := s.commit(ctx, s.of(key), m)
	return r, driver.KeyError("put", key, err)
}

// Delete implements driver.Store.
func (s *store) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := s.caps.CheckDelete(key, o); err != nil {
		return err
	}
	m := &driver.Commit{Writes: []driver.Write{{Key: key, Delete: true, Fence: o.Fence}}}
	if !o.IfRevision.IsZero() {
		m.Reads = []driver.Read{{Key: key, Revision: o.IfRevision}}
	}
	_, err := s.commit(ctx, s.of(key), m)
	return driver.KeyError("delete", key, err)
}

// Commit implements driver.Committer, by one script.
func (s *united) Commit(ctx context.Context, m *driver.Commit) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := s.caps.CheckCommit(m); err != nil {
		return err
	}
	return s.commitAll(ctx, m)
}

// Together implements intent.Together: keys of one partition are of one slot.
func (s *store) Together(a, b []byte) bool { return s.of(a) == s.of(b) }

// CommitTogether implements intent.Together, by one script.
func (s *store) CommitTogether(ctx context.Context, m *driver.Commit) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	size := 0
	for i := range m.Writes {
		size += len(m.Writes[i].Key) + len(m.Writes[i].Value)
	}
	if len(m.Writes) > maxCommitWrites || size > maxCommitBytes {
		return fmt.Errorf("%w: %d writes of %d bytes in one script", driver.ErrTooLarge, len(m.Writes), size)
	}
	return s.commitAll(ctx, m)
}

func (s *store) commitAll(ctx context.Context, m *driver.Commit) error {
	if len(m.Reads)+len(m.Ranges)+len(m.Writes) == 0 {
		return nil
	}
	p := &s.partitions[0]
	if len(m.Writes) > 0 {
		p = s.of(m.Writes[0].Key)
	} else if len(m.Reads) > 0 {
		p = s.of(m.Reads[0].Key)
	}
	if _, err := s.commit(ctx, p, m); err != nil {
		return fmt.Errorf("commit of %d writes: %w", len(m.Writes), err)
	}
	return nil
}

// commit runs the script for keys of one partition, and returns the revision of the last
// put.
func (s *store) commit(ctx context.Context, p *partition, m *driver.Commit) (driver.Revision, error) {
	keys := make([]string, 3, 3+len(m.Reads)+len(m.Writes))
	keys[0], keys[1], keys[2] = p.index, p.expiries, p.fences
	args := make([]any, 6, 6+len(m.Reads)+5*len(m.Writes))
	var nonce [8]byte
	binary.NativeEndian.PutUint64(nonce[:], rand.Uint64())
	args[0], args[1], args[2], args[3], args[4], args[5] = p.channel, nonce[:], p.values, len(m.Reads), len(m.Ranges), len(m.Writes)
	for i := range m.Reads {
		keys = append(keys, p.value(m.Reads[i].Key))
		args = append(args, head(m.Reads[i].Revision))
	}
	for i := range m.Ranges {
		r := &m.Ranges[i]
		v := intervalOf(&r.Options)
		if n := len(r.Seen); n > 0 && n == r.Options.Limit {
			v.max = "[" + string(r.Seen[n-1].Key) // behind it nothing was seen
		}
		args = append(args, v.min, v.max, len(r.Seen))
		for j := range r.Seen {
			args = append(args, r.Seen[j].Key, head(r.Seen[j].Revision))
		}
	}
	for i := range m.Writes {
		w := &m.Writes[i]
		keys = append(keys, p.value(w.Key))
		kind, fence, value := "p", "", w.Value
		if w.Delete {
			kind, value = "d", nil
		}
		if w.Fence != 0 {
			fence = fmt.Sprintf("%020d", w.Fence)
		}
		args = append(args, kind, w.Key, fence, milliseconds(w.TTL), value)
	}
	reply, err := s.change(ctx, commitScript, keys, args...)
	if err != nil {
		return driver.Revision{}, err
	}
	return judge(reply, m)
}

// milliseconds rounds up, so that no entry lives shorter than it was told to, and ends with
// what Lua counts exactly.
func milliseconds(ttl time.Duration) int64 {
	return int64((ttl + time.Millisecond - 1) / time.Millisecond)
}

// judge returns what the script says.
func judge(reply any, m *driver.Commit) (driver.Revision, error) {
	words, _ := reply.([]any)
	what, number := "", 0
	if len(words) > 1 {
		what, _ = words[0].(string)
		n, _ := words[1].(int64)
		number = int(n) - 1
	}
	last := ""
	if len(words) > 0 {
		last, _ = words[len(words)-1].(string)
	}
	switch what {
	case "ok":
		if last == "" {
			return driver.Revision{}, nil
		}
		return revisionOf(last), nil
	case "fenced":
		if w := &m.Writes[number]; w != nil {
			return driver.Revision{}, driver.KeyError("fence", w.Key, fmt.Errorf("%w: token %d; a writer with token %s was here", driver.ErrFenced, w.Fence, last))
		}
	case "conflict":
		r := &m.Reads[number]
		if last == "" {
			return driver.Revision{}, driver.KeyError("validate", r.Key, fmt.Errorf("%w: it is not there, and was at revision %s", driver.ErrConflict, r.Revision))
		}
		return driver.Revision{}, driver.KeyError("validate", r.Key, fmt.Errorf("%w: it is at revision %s, and was at %q", driver.ErrConflict, revisionOf(last), r.Revision))
	case "range":
		return driver.Revision{}, driver.KeyError("validate", m.Ranges[number].Options.Prefix, fmt.Errorf("%w: the range has changed since it was read", driver.ErrConflict))
	}
	return driver.Revision{}, fmt.Errorf("%w: the script has returned %q", driver.ErrOutcomeUnknown, words)
}

// BulkPut implements driver.BulkPutter: by scripts of many writes for each partition.
func (s *store) BulkPut(ctx context.Context, writes []driver.Write) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	for i := range writes {
		w := &writes[i]
		if err := s.caps.CheckPut(w.Key, w.Value, driver.PutOptions{TTL: w.TTL, Fence: w.Fence}); err != nil {
			return fmt.Errorf("bulk put: %w", err)
		}
	}
	applied := false
	flush := func(p *partition, some []driver.Write) error {
		_, err := s.commit(ctx, p, &driver.Commit{Writes: some})
		if err != nil && applied && !errors.Is(err, driver.ErrOutcomeUnknown) && (errors.Is(err, driver.ErrUnavailable) || ctx.Err() != nil) {
			// That nothing was applied is not true of what went before.
			err = fmt.Errorf("%w: %v", driver.ErrOutcomeUnknown, err) //nolint // so it must not be in the chain
		}
		applied = applied || err == nil
		return err
	}
	parts := map[*partition][]driver.Write{}
	bytes := map[*partition]int{}
	for i := range writes {
		p := s.of(writes[i].Key)
		size := len(writes[i].Key) + len(writes[i].Value)
		// A fence that is refused refuses its script.
		if n := len(parts[p]); n > 0 && (n == bulkWrites || bytes[p]+size > bulkBytes || writes[i].Fence != 0 || parts[p][n-1].Fence != 0) {
			if err := flush(p, parts[p]); err != nil {
				return fmt.Errorf("bulk put: %w", err)
			}
			parts[p], bytes[p] = nil, 0
		}
		parts[p] = append(parts[p], writes[i])
		bytes[p] += size
	}
	for p, some := range parts {
		if len(some) == 0 {
			continue
		}
		if err := flush(p, some); err != nil {
			return fmt.Errorf("bulk put: %w", err)
		}
	}
	return nil
}

// What a script of a bulk put takes: Redis does nothing else meanwhile.
const (
	bulkWrites = 200
	bulkBytes  = 1 << 20
)

// Expire implements driver.Expirer: Redis removes values by itself, and this what is left of
// them in the index. Those who watch are told by it.
func (s *store) Expire(ctx context.Context, limit int) (int, error) {
	if err := s.calls.Begin(ctx); err != nil {
		return 0, err
	}
	defer s.calls.Done()
	removed := 0
	for i := range s.partitions {
		p := &s.partitions[i]
		for removed < limit {
			some := min(limit-removed, bulkWrites)
			reply, err := s.change(ctx, expireScript, []string{p.index, p.expiries}, p.channel, p.values, some)
			if err != nil {
				return removed, fmt.Errorf("expire: %w", err)
			}
			n, _ := reply.(int64)
			if removed += int(n); int(n) < some {
				break
			}
		}
	}
	return removed, nil
}
