package servers

import (
	"os"
	"testing"
)

// MinIO starts MinIO over an empty directory, over TLS if it is given a pair of
// certificate and key. It has a key for server-side encryption.
func MinIO(t testing.TB, tls *Certificate) *S3 {
	t.Helper()
	path := Program(t, "minio")
	dir := t.TempDir()
	s := &S3{Address: Address(t), AccessKey: "orbit-test", SecretKey: Secret("s3")}
	args := []string{"server", "--address", s.Address, "--quiet"}
	if tls != nil {
		certs := dir + "/certs"
		if err := os.Mkdir(certs, 0o700); err != nil {
			t.Fatal(err)
		}
		tls.copy(t, certs+"/public.crt", certs+"/private.key")
		args = append(args, "--certs-dir", certs)
	}
	s.Process = Start(t, Command{
		Path: path,
		Args: append(args, dir+"/data"),
		Env: []string{
			"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey, "MINIO_BROWSER=off", "MINIO_SITE_REGION=us-east-1",
			"MINIO_KMS_SECRET_KEY=orbit:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		},
		Dir: dir, Ready: serving(s.Address, "/minio/health/cluster", tls),
	})
	return s
}
