package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/providers/driver"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// request is one call of the server. It notes whether anything of it has left: what
// has not cannot have been applied.
type request struct {
	context.Context
	sent atomic.Bool
}

type requestKey struct{}

// newRequest begins a request. A member that has lost its leader is asked to refuse it,
// rather than to keep it waiting.
func newRequest(ctx context.Context) *request {
	return &request{Context: clientv3.WithRequireLeader(ctx)}
}

// Value lets the transport find the request.
func (r *request) Value(key any) any {
	if key == (requestKey{}) {
		return r
	}
	return r.Context.Value(key)
}

// departures notes the requests that leave.
type departures struct{}

func (departures) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (departures) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); ok {
		if r, ok := ctx.Value(requestKey{}).(*request); ok {
			r.sent.Store(true)
		}
	}
}

func (departures) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (departures) HandleConn(context.Context, stats.ConnStats)                       {}

// refusals are the errors with which a server says that it has applied nothing.
var refusals = []struct {
	of   []error
	kind error
}{
	{[]error{rpctypes.ErrPermissionDenied, rpctypes.ErrAuthFailed, rpctypes.ErrUserEmpty, rpctypes.ErrUserNotFound, rpctypes.ErrRoleNotFound}, driver.ErrDenied},
	{[]error{rpctypes.ErrNoSpace}, driver.ErrNoSpace},
	{[]error{rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyOps}, driver.ErrTooLarge},
	{[]error{rpctypes.ErrLeaseTTLTooLarge}, driver.ErrInvalid},
	{[]error{rpctypes.ErrCorrupt}, driver.ErrCorrupt},
	// A token or a lease that has run out is another at the next attempt; a revision
	// that was compacted is a newer one.
	{[]error{rpctypes.ErrNoLeader, rpctypes.ErrTooManyRequests, rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision,
		rpctypes.ErrLeaseNotFound, rpctypes.ErrCompacted}, driver.ErrUnavailable},
}

// refusal returns the kind of an error with which a server has refused a request, nil
// if err says nothing so definite.
func refusal(err error) error {
	err = rpctypes.Error(err)
	for _, r := range refusals {
		for _, of := range r.of {
			if errors.Is(err, of) {
				return r.kind
			}
		}
	}
	if message := status.Convert(err).Message(); strings.Contains(message, "remote error: tls:") && strings.Contains(message, "certificate") {
		return driver.ErrDenied // it wants another certificate than the one that was shown
	}
	return nil
}

// read returns what a caller is told of a read that has failed.
func (r *request) read(err error) error {
	switch kind := refusal(err); {
	case err == nil:
		return nil
	case kind != nil:
		return fmt.Errorf("%w: %w", kind, err)
	case r.ended(err) != nil:
		return r.ended(err)
	}
	return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
}

// write returns what a caller is told of a write that has failed.
func (r *request) write(err error) error {
	if err == nil || refusal(err) != nil || !r.sent.Load() {
		return r.read(err)
	}
	if ended := r.ended(err); ended != nil {
		err = ended
	}
	return fmt.Errorf("%w: %w", driver.ErrOutcomeUnknown, err)
}

// ended returns the error of the caller's context if that has ended, else nil. A
// transport that looked at its clock a moment earlier says so in its own words.
func (r *request) ended(err error) error {
	if r.Err() == nil && status.Code(err) == codes.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return r.Err()
}
