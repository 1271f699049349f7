package s3

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
)

// codes are those whose kind the status does not tell.
var codes = map[string]error{
	"NoSuchBucket":                       driver.ErrInvalid,
	"ExpiredToken":                       driver.ErrDenied,
	"InvalidToken":                       driver.ErrDenied,
	"InvalidAccessKeyId":                 driver.ErrDenied,
	"XAdminUserNotFound":                 driver.ErrDenied,
	"SignatureDoesNotMatch":              driver.ErrDenied,
	"RequestTimeout":                     driver.ErrUnavailable, // it waited for the rest of the request
	"EntityTooLarge":                     driver.ErrTooLarge,
	"KeyTooLongError":                    driver.ErrTooLarge,
	"XMinioStorageFull":                  driver.ErrNoSpace,
	"XMinioAdminBucketQuotaExceeded":     driver.ErrNoSpace,
	"ConditionalRequestConflict":         objects.ErrContended,
	"OperationAborted":                   objects.ErrContended,
	"XMinioServerNotInitialized":         driver.ErrUnavailable,
	"KMS.DisabledException":              driver.ErrInvalid,
	"PermanentRedirect":                  driver.ErrInvalid,
	"AuthorizationHeaderMalformed":       driver.ErrInvalid,
	"IllegalLocationConstraintException": driver.ErrInvalid,
}

// busy are the codes that say that nothing was begun. MinIO's SlowDownWrite is not one
// of them: it says that too few of its disks have done a write.
var busy = []string{"SlowDown", "ServiceUnavailable"}

// request is what a request does.
type request uint8

const (
	reads request = iota
	writes
	asks // by HEAD, whose answer has no body, so that its status is all that there is
)

// classify gives an answer of the service its kind, and leaves errors of the wire, and
// nil, as they are.
func (b *bucket) classify(err error, does request) error {
	var response *smithyhttp.ResponseError
	if err == nil || errors.Is(err, driver.ErrDenied) || !errors.As(err, &response) || response.HTTPStatusCode() == 0 {
		return err // the SDK makes a response of status 0 where there was none
	}
	status, code, message := response.HTTPStatusCode(), "", ""
	var answer smithy.APIError
	if errors.As(err, &answer) {
		code, message = answer.ErrorCode(), answer.ErrorMessage()
	}
	kind := codes[code]
	switch {
	case code == "NoSuchBucket":
		return b.missing()
	case status == http.StatusNotFound && kind == nil && code != "NoSuchKey" && does != asks:
		// It is not the object that is not there: no reader must take it for that.
		kind = driver.ErrInvalid
	case status == http.StatusConflict && kind == nil:
		kind = objects.ErrContended
	case kind == nil:
		kind = objects.Answer(status, does == writes, slices.Contains(busy, code))
	}
	if kind == nil {
		// An answer that says success and cannot be read: what it was is not known.
		return err
	}
	where := ""
	if status >= 300 && status < 400 {
		where = "; the bucket is in the region " + response.Response.Header.Get("X-Amz-Bucket-Region")
	}
	return fmt.Errorf("%w: %d %s: %s%s", kind, status, code, message, where)
}

func (b *bucket) missing() error {
	return fmt.Errorf("%w: the bucket %q does not exist; create it, or correct bucket", driver.ErrInvalid, aws.ToString(b.name))
}
