package etcd

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// transaction is one etcd transaction in the making.
type transaction struct {
	s      *Store
	reads  []driver.Read
	ranges []driver.RangeRead
	writes []driver.Write
	// lease is what all writes are bound to; 0 is one for each TTL.
	lease clientv3.LeaseID

	fences []fence
}

// fence is what is known of the fence of a write.
type fence struct {
	write *driver.Write
	key   string
	// known tells that the server has been asked. Until then the guess is that the
	// token that was seen is the writer's own, as with every write but a holder's first.
	known bool
	seen  uint64 // the largest token that was seen, 0 if none
	at    int64  // the revision of that
}

// commit applies the writes if the conditions hold, and returns the revision of what it
// has put.
func (t *transaction) commit(ctx context.Context) (driver.Revision, error) {
	for i := range t.writes {
		if w := &t.writes[i]; w.Fence != 0 {
			t.fences = append(t.fences, fence{write: w, key: t.s.fenceKey(w.Key)})
		}
	}
	if err := t.fits(); err != nil {
		return driver.Revision{}, err
	}
	writes, err := t.operations(ctx)
	if err != nil {
		return driver.Revision{}, err
	}
	for {
		conditions, looks := t.conditions()
		r := newRequest(ctx)
		response, err := t.s.client.Txn(r).If(conditions...).Then(t.grown(writes)...).Else(looks...).Commit()
		if err == nil && response.Succeeded {
			return revision(response.Header.Revision), nil
		}
		switch {
		case err == nil:
			err = t.judge(response.Responses)
		case len(t.writes) == 0:
			err = r.read(err)
		default:
			err = r.write(err)
		}
		if err != nil {
			return driver.Revision{}, err
		}
		if err := ctx.Err(); err != nil {
			return driver.Revision{}, err // nothing of it was applied so far
		}
	}
}

// fits returns the ErrTooLarge of what the server would refuse, or another server let
// through.
func (t *transaction) fits() error {
	compared := len(t.reads) + len(t.fences)
	for i := range t.ranges {
		compared += 1 + len(t.ranges[i].Seen)
	}
	if changed := len(t.writes) + len(t.fences); changed > maxOps {
		return fmt.Errorf("%w: %d writes and %d fences; an etcd transaction takes %d operations", driver.ErrTooLarge, len(t.writes), len(t.fences), maxOps)
	}
	if compared > maxOps {
		return fmt.Errorf("%w: %d keys and ranges that were read, and fences; an etcd transaction compares %d", driver.ErrTooLarge, compared, maxOps)
	}
	return nil
}

// operations returns the writes as etcd has them. It makes their leases.
func (t *transaction) operations(ctx context.Context) ([]clientv3.Op, error) {
	leases := map[time.Duration]clientv3.LeaseID{0: t.lease}
	ops := make([]clientv3.Op, 0, len(t.writes)+len(t.fences))
	for i := range t.writes {
		w := &t.writes[i]
		if w.Delete {
			ops = append(ops, clientv3.OpDelete(t.s.dataKey(w.Key)))
			continue
		}
		lease, made := leases[w.TTL]
		if !made {
			var err error
			if lease, err = t.s.grant(ctx, w.TTL); err != nil {
				return nil, err
			}
			leases[w.TTL] = lease
		}
		ops = append(ops, clientv3.OpPut(t.s.dataKey(w.Key), string(w.Value), clientv3.WithLease(lease)))
	}
	return ops, nil
}

// grown adds to the writes those of fences whose token grows.
func (t *transaction) grown(writes []clientv3.Op) []clientv3.Op {
	for i := range t.fences {
		if f := &t.fences[i]; f.known && f.write.Fence > f.seen {
			writes = append(writes, clientv3.OpPut(f.key, encodeToken(f.write.Fence)))
		}
	}
	return writes
}

// conditions returns what must hold, and what is to be looked at if it does not: the
// fences, then the reads, then the ranges. There is always something to look at where
// there are conditions, which keeps etcd from answering a commit that writes nothing
// from a member that lags behind.
func (t *transaction) conditions() (conditions []clientv3.Cmp, looks []clientv3.Op) {
	for i := range t.fences {
		f := &t.fences[i]
		if f.known {
			conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(f.key), "=", f.at))
		} else {
			conditions = append(conditions, clientv3.Compare(clientv3.Value(f.key), "=", encodeToken(f.write.Fence)))
		}
		looks = append(looks, clientv3.OpGet(f.key))
	}
	for i := range t.reads {
		key := t.s.dataKey(t.reads[i].Key)
		conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(key), "=", number(t.reads[i].Revision)))
		looks = append(looks, clientv3.OpGet(key, clientv3.WithKeysOnly()))
	}
	for i := range t.ranges {
		r := &t.ranges[i]
		p, newest := t.s.span(&r.Options), int64(0)
		for j := range r.Seen {
			newest = max(newest, number(r.Seen[j].Revision))
			conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(t.s.dataKey(r.Seen[j].Key)), "=", number(r.Seen[j].Revision)))
		}
		if n := len(r.Seen); n > 0 && n == r.Options.Limit {
			p.to = after(t.s.dataKey(r.Seen[n-1].Key)) // behind it nothing was seen
		}
		if !p.empty() {
			conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(p.from), "<", newest+1).WithRange(p.to))
			looks = append(looks, clientv3.OpGet(p.from, clientv3.WithRange(p.to), clientv3.WithCountOnly()))
		}
	}
	return conditions, looks
}

// number returns a revision as etcd has it, -1 for one that is not etcd's.
func number(r driver.Revision) int64 {
	if r.Tag() != "" || int64(r.Number()) < 0 {
		return -1
	}
	return int64(r.Number())
}

// judge says why the conditions did not hold; nil if it was a fence that was not known,
// and now is.
func (t *transaction) judge(looks []*etcdserverpb.ResponseOp) error {
	learned := false
	for i := range t.fences {
		f := &t.fences[i]
		kvs := looks[i].GetResponseRange().Kvs
		was := *f
		f.known, f.seen, f.at = true, 0, 0
		if len(kvs) > 0 {
			token, err := decodeToken(kvs[0].Value)
			if err != nil {
				return driver.KeyError("fence", f.write.Key, err)
			}
			f.seen, f.at = token, kvs[0].ModRevision
		}
		if f.write.Fence < f.seen {
			return driver.KeyError("fence", f.write.Key, fmt.Errorf("%w: token %d; a writer with token %d was here", driver.ErrFenced, f.write.Fence, f.seen))
		}
		learned = learned || *f != was
	}
	for i := range t.reads {
		r := &t.reads[i]
		now := int64(0)
		if kvs := looks[len(t.fences)+i].GetResponseRange().Kvs; len(kvs) > 0 {
			now = kvs[0].ModRevision
		}
		switch {
		case now == number(r.Revision):
		case now == 0:
			return driver.KeyError("validate", r.Key, fmt.Errorf("%w: it is not there, and was at revision %s", driver.ErrConflict, r.Revision))
		default:
			return driver.KeyError("validate", r.Key, fmt.Errorf("%w: it is at revision %d, and was at %q", driver.ErrConflict, now, r.Revision))
		}
	}
	if learned {
		return nil
	}
	return fmt.Errorf("%w: a range has changed since it was read", driver.ErrConflict)
}

func encodeToken(token uint64) string { return string(binary.BigEndian.AppendUint64(nil, token)) }

func decodeToken(p []byte) (uint64, error) {
	if len(p) != 8 || bytes.Equal(p, make([]byte, 8)) {
		return 0, fmt.Errorf("%w: a fencing token of %d bytes", driver.ErrCorrupt, len(p))
	}
	return binary.BigEndian.Uint64(p), nil
}
