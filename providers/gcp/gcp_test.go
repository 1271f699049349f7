package gcp_test

import (
	"context"
	"io"
	"os"
	"testing"

	"cloud.google.com/go/storage"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/gcp"
	"github.com/orbit-persistence/orbit/providers/internal/objects/objectstest"
	"google.golang.org/api/option"
)

const (
	name    = "orbit-data"
	project = "orbit-project"
)

func TestMain(m *testing.M) {
	// The SDK asks once for each process whether it runs at Google's. It does, with
	// nobody at this address; a test puts a server of its own there.
	if err := os.Setenv("GCE_METADATA_HOST", "127.0.0.1:1"); err != nil {
		panic(err)
	}
	objectstest.Main(m, open)
}

func at(address string) gcp.Config {
	c := gcp.Defaults()
	c.ProjectID, c.Bucket, c.Prefix, c.Endpoint = project, name, "orbit", "http://"+address
	return c
}

func open(ctx context.Context, address, prefix string) (driver.Store, error) {
	c := at(address)
	c.Prefix = prefix
	return gcp.Open(ctx, c)
}

// sdk is the bare client.
func sdk(t testing.TB, address string) *storage.Client {
	t.Helper()
	client, err := storage.NewClient(t.Context(), option.WithoutAuthentication(), option.WithEndpoint("http://"+address+"/storage/v1/"), storage.WithJSONReads())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func start(t testing.TB) (server *servers.Process, address string) {
	t.Helper()
	server, address = servers.FakeGCS(t)
	if err := sdk(t, address).Bucket(name).Create(t.Context(), project, nil); err != nil {
		t.Fatal(err)
	}
	return server, address
}

func service(t testing.TB) objectstest.Service {
	_, address := start(t)
	return objectstest.Service{Server: "fake-gcs-server v1.56.1", Emulator: true, Address: address, Open: open}
}

func TestConformance(t *testing.T)  { objectstest.Conformance(t, service(t)) }
func TestMidOperation(t *testing.T) { objectstest.MidOperation(t, service(t)) }
func TestHistories(t *testing.T)    { objectstest.Histories(t, service(t)) }
func TestProcesses(t *testing.T)    { objectstest.Processes(t, service(t)) }
func TestLeaseFight(t *testing.T)   { objectstest.LeaseFight(t, service(t)) }

func BenchmarkPut(b *testing.B) { benchmark(b, objectstest.BenchmarkPut) }
func BenchmarkGet(b *testing.B) { benchmark(b, objectstest.BenchmarkGet) }

// benchmark measures a provider, with all that stands above a store, and beside it the
// SDK alone, which sends a small object in one request too.
func benchmark(b *testing.B, run func(*testing.B, *providers.Provider, objectstest.Bare)) {
	s := service(b)
	store, err := open(b.Context(), s.Address, "bench")
	if err != nil {
		b.Fatal(err)
	}
	p := providers.OpenStore(store, providers.Config{})
	defer p.Close()
	bucket := sdk(b, s.Address).Bucket(name)
	run(b, p, objectstest.Bare{
		Put: func(ctx context.Context, name string, value []byte) error {
			w := bucket.Object(name).NewWriter(ctx)
			w.ChunkSize = 0
			if _, err := w.Write(value); err != nil {
				return err
			}
			return w.Close()
		},
		Get: func(ctx context.Context, name string) ([]byte, error) {
			r, err := bucket.Object(name).NewReader(ctx)
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return io.ReadAll(r)
		},
	})
}
