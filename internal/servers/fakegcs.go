package servers

import "testing"

// FakeGCS starts fake-gcs-server, an emulator of Google Cloud Storage that keeps
// everything in memory, and returns its address.
func FakeGCS(t testing.TB) (process *Process, address string) {
	t.Helper()
	path := Program(t, "fake-gcs-server")
	address = Address(t)
	host, port, _ := cutPort(address)
	process = Start(t, Command{
		Path:  path,
		Args:  []string{"-scheme", "http", "-host", host, "-port", port, "-backend", "memory", "-public-host", address, "-log-level", "error"},
		Ready: serving(address, "/_internal/healthcheck", nil),
	})
	return process, address
}
