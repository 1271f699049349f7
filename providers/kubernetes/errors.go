package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/orbit-persistence/orbit/providers/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// failure makes one of the kinds of package driver of what a request has ended with.
// write says that it may have changed something.
func failure(ctx context.Context, write bool, err error) error {
	if err == nil {
		return nil
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		s := status.Status()
		switch {
		case apierrors.IsNotFound(err):
			return fmt.Errorf("%w: %s", driver.ErrNotFound, s.Message)
		case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
			return fmt.Errorf("%w: %s", driver.ErrConflict, s.Message)
		case apierrors.IsUnauthorized(err):
			return fmt.Errorf("%w: the API server does not know these credentials: %s", driver.ErrDenied, s.Message)
		case apierrors.IsForbidden(err):
			return fmt.Errorf("%w: %s", driver.ErrDenied, s.Message)
		case apierrors.IsRequestEntityTooLargeError(err):
			return fmt.Errorf("%w: %s", driver.ErrTooLarge, s.Message)
		case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
			return fmt.Errorf("%w: %s", driver.ErrInvalid, s.Message)
		case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
			return fmt.Errorf("%w: %s", errExpired, s.Message)
		case apierrors.IsTooManyRequests(err): // refused before it was looked at
			return fmt.Errorf("%w: %s", driver.ErrUnavailable, s.Message)
		case s.Code == http.StatusMethodNotAllowed, s.Code == http.StatusUnsupportedMediaType:
			return fmt.Errorf("%w: %s", driver.ErrUnsupported, s.Message)
		}
		return doubt(write, fmt.Sprintf("the API server answers %d: %s", s.Code, s.Message))
	}
	// A connection that could not be made carried no request.
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %v", driver.ErrUnavailable, err)
	}
	if ctx.Err() != nil && !write {
		return ctx.Err()
	}
	return doubt(write, err.Error())
}

// errExpired says that a list or a watch cannot go on where it was.
var errExpired = fmt.Errorf("%w: the API server does not have this version any more", driver.ErrUnavailable)

// doubt is the error of a request that may have been applied.
func doubt(write bool, text string) error {
	if write {
		return fmt.Errorf("%w: %s", driver.ErrOutcomeUnknown, text)
	}
	return fmt.Errorf("%w: %s", driver.ErrUnavailable, text)
}
