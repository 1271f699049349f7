package objects

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// attempt is what is known of the request of one call.
type attempt struct {
	sent atomic.Bool // a connection was there for it, so that it may have arrived
}

type attemptKey struct{}

// Dial returns what a client sends its requests through. caCert is a file with the
// authorities to trust, in PEM, "" for the system's; timeout bounds the making of a
// connection.
func Dial(caCert string, timeout time.Duration) (*http.Transport, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if caCert != "" {
		pem, err := os.ReadFile(caCert)
		if err != nil {
			return nil, fmt.Errorf("%w: ca_cert: %w", driver.ErrInvalid, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: ca_cert: %s holds no certificate in PEM", driver.ErrInvalid, caCert)
		}
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     c,
		TLSHandshakeTimeout: timeout,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 128, // a transaction's calls go out at once
		IdleConnTimeout:     90 * time.Second,
		ReadBufferSize:      32 << 10,
		WriteBufferSize:     32 << 10,
	}, nil
}

// Transport notes whether the request of a call may have reached the service. Every
// client must send through one, and must repeat nothing: net/http itself sends again
// only what it could not write, or what reads.
func Transport(next http.RoundTripper) http.RoundTripper { return noting{next} }

type noting struct{ next http.RoundTripper }

func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	if a, ok := r.Context().Value(attemptKey{}).(*attempt); ok {
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			GetConn: func(string) { a.sent.Store(false) },
			GotConn: func(httptrace.GotConnInfo) { a.sent.Store(true) },
		}))
	}
	return n.next.RoundTrip(r)
}

// kinds are those that an answer of a service can be of.
var kinds = []error{
	ErrContended, driver.ErrNotFound, driver.ErrConflict, driver.ErrDenied, driver.ErrInvalid, driver.ErrTooLarge, driver.ErrNoSpace,
	driver.ErrUnavailable, driver.ErrOutcomeUnknown, driver.ErrUnsupported, driver.ErrCorrupt, driver.ErrClosed,
}

func answered(err error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

// call makes one call of the bucket, within a time of its own unless that is 0.
func call(ctx context.Context, within time.Duration, writes bool, do func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	own := ctx
	if within > 0 {
		var cancel context.CancelFunc
		own, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	var a attempt
	var certificate *tls.CertificateVerificationError
	err := do(context.WithValue(own, attemptKey{}, &a))
	switch {
	case err == nil || answered(err):
		return err
	case errors.As(err, &certificate):
		return fmt.Errorf("%w: nobody vouches for the service's certificate; if its authority is your own, set ca_cert: %v", driver.ErrInvalid, err) //nolint // what the wire says is of no kind
	case writes && a.sent.Load():
		return fmt.Errorf("%w: %w", driver.ErrOutcomeUnknown, err)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %v", ctx.Err(), err) //nolint // what the wire says is of no kind
	case own.Err() != nil:
		return fmt.Errorf("%w: no answer within %s: %v", driver.ErrUnavailable, within, err) //nolint // the deadline is not the caller's
	}
	return fmt.Errorf("%w: %v", driver.ErrUnavailable, err) //nolint // what the wire says is of no kind
}

// Answer returns the kind of error that the status of an answer stands for, nil for a
// success. busy says that the service has refused the request before it did anything,
// as some of those with status 503 say.
func Answer(status int, writes, busy bool) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return driver.ErrDenied
	case status == http.StatusNotFound:
		return driver.ErrNotFound
	case status == http.StatusPreconditionFailed:
		return driver.ErrConflict
	case status == http.StatusRequestEntityTooLarge:
		return driver.ErrTooLarge
	case status == http.StatusInsufficientStorage:
		return driver.ErrNoSpace
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, busy:
		return driver.ErrUnavailable
	case status >= 500 && writes:
		return driver.ErrOutcomeUnknown
	case status >= 500:
		return driver.ErrUnavailable
	}
	return driver.ErrInvalid
}

// ReadAll reads the body of an answer, of a length that the service has told, -1 if it
// has not. What is longer than an object can be is ErrCorrupt.
func ReadAll(body io.Reader, length int64) ([]byte, error) {
	if length > MaxObjectBytes {
		return nil, fmt.Errorf("%w: an object of %d bytes; this store writes none above %d", driver.ErrCorrupt, length, MaxObjectBytes)
	}
	if length >= 0 {
		data := make([]byte, length)
		_, err := io.ReadFull(body, data)
		return data, err
	}
	data, err := io.ReadAll(io.LimitReader(body, MaxObjectBytes+1))
	if err == nil && len(data) > MaxObjectBytes {
		err = fmt.Errorf("%w: an object of more than %d bytes", driver.ErrCorrupt, MaxObjectBytes)
	}
	return data, err
}

// WithoutURL returns an error of the wire without the URL of the request, in which a
// signature may stand.
func WithoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return fmt.Errorf("%s: %w", of.Op, of.Err)
	}
	return err
}
