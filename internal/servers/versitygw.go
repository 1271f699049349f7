package servers

import (
	"context"
	"net"
	"os"
	"testing"
)

// S3 is an S3 server: where it listens, and the only keys that it knows.
type S3 struct {
	*Process
	Address              string // host and port
	AccessKey, SecretKey string
}

// Versitygw starts versitygw over an empty directory, with versions kept if a bucket
// asks for it.
func Versitygw(t testing.TB) *S3 { return versitygw(t) }

// VersitygwTLS is Versitygw over TLS.
func VersitygwTLS(t testing.TB, c *Certificate) *S3 {
	return versitygw(t, "--cert", c.Certificate, "--key", c.Key)
}

func versitygw(t testing.TB, more ...string) *S3 {
	t.Helper()
	path := Program(t, "versitygw")
	dir := dataDir(t)
	for _, sub := range []string{"data", "versions"} {
		if err := os.Mkdir(dir+"/"+sub, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := &S3{Address: Address(t), AccessKey: "orbit-test", SecretKey: Secret("s3")}
	s.Process = Start(t, Command{
		Path: path,
		Args: append(append([]string{"--quiet", "--port", s.Address}, more...), "posix", "--versioning-dir", dir+"/versions", dir+"/data"),
		Env:  []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey},
		Dir:  dir, Ready: listening(s.Address),
	})
	return s
}

// listening asks whether somebody accepts connections.
func listening(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	}
}
