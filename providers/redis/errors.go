package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/redis/go-redis/v9"
)

// refusals are the words with which the replies begin that say that nothing was applied.
var refusals = []struct {
	words string
	kind  error
}{
	{"NOAUTH", driver.ErrDenied}, {"WRONGPASS", driver.ErrDenied}, {"NOPERM", driver.ErrDenied},
	{"ERR AUTH", driver.ErrDenied}, {"ERR invalid password", driver.ErrDenied}, {"ERR invalid username-password", driver.ErrDenied},
	{"OOM", driver.ErrNoSpace},
	{"ERR DB index is out of range", driver.ErrInvalid},
	{"ERR This instance has cluster support disabled", driver.ErrInvalid},
	{"WRONGTYPE", driver.ErrCorrupt},
	// These pass.
	{"READONLY", driver.ErrUnavailable}, {"LOADING", driver.ErrUnavailable}, {"CLUSTERDOWN", driver.ErrUnavailable},
	{"MASTERDOWN", driver.ErrUnavailable}, {"TRYAGAIN", driver.ErrUnavailable}, {"MOVED", driver.ErrUnavailable}, {"ASK", driver.ErrUnavailable},
	{"BUSY", driver.ErrUnavailable}, {"MISCONF", driver.ErrUnavailable}, {"NOREPLICAS", driver.ErrUnavailable}, {"NOSCRIPT", driver.ErrUnavailable},
	{"ERR max number of clients", driver.ErrUnavailable},
}

// refusal returns the kind of an error that says that nothing was applied, nil if it does
// not say so.
func refusal(err error) error {
	var reply redis.Error
	if errors.As(err, &reply) {
		for _, r := range refusals {
			// What a command within a script was refused with, stands behind a few words.
			if strings.HasPrefix(reply.Error(), r.words) || strings.Contains(reply.Error(), ": -"+r.words) {
				return r.kind
			}
		}
		return nil
	}
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial", errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return driver.ErrUnavailable // there was no connection on which to send
	}
	return nil
}

// readError returns what a caller is told of a read that has failed.
func readError(ctx context.Context, err error) error {
	switch kind := refusal(err); {
	case err == nil:
		return nil
	case kind != nil:
		return fmt.Errorf("%w: %w", kind, err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
}

// writeError returns what a caller is told of a write that has failed.
func writeError(ctx context.Context, err error) error {
	if err == nil || refusal(err) != nil {
		return readError(ctx, err)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("%w: %w", driver.ErrOutcomeUnknown, err)
}
