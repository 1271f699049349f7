package servers

import "testing"

// FakeGCS starts fake-gcs-server, an emulator of Google Cloud Storage that keeps
// everything in memory, and returns its address.
func FakeGCS(t testing.TB) (process *Process, address string) {
	t.Helper()
	return fakeGCS(t, "-backend", "memory")
}

// FakeGCSInFiles is FakeGCS with a file for each object. It is for many objects: in memory
// each request looks at all of a bucket. But a read beside a write of the same object may
// find none, and names are limited as those of files are.
func FakeGCSInFiles(t testing.TB) (process *Process, address string) {
	t.Helper()
	return fakeGCS(t, "-backend", "filesystem", "-filesystem-root", dataDir(t))
}

func fakeGCS(t testing.TB, backend ...string) (process *Process, address string) {
	t.Helper()
	path := Program(t, "fake-gcs-server")
	address = Address(t)
	host, port, _ := cutPort(address)
	process = Start(t, Command{
		Path:  path,
		Args:  append([]string{"-scheme", "http", "-host", host, "-port", port, "-public-host", address, "-log-level", "error"}, backend...),
		Ready: serving(address, "/_internal/healthcheck", nil),
	})
	return process, address
}
