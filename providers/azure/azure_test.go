package azure_test

import (
	"context"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/azure"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects/objectstest"
)

const (
	name    = "orbit"
	account = "devstoreaccount1"
)

var key = servers.Secret("azure")

func TestMain(m *testing.M) { objectstest.Main(m, open) }

func at(address string) azure.Config {
	c := azure.Defaults()
	c.AccountName, c.AccountKey = account, config.NewSecret(key)
	c.Endpoint = "http://" + address + "/" + account
	c.Container, c.Prefix = name, "orbit"
	return c
}

func open(ctx context.Context, address, prefix string) (driver.Store, error) {
	c := at(address)
	c.Prefix = prefix
	return azure.Open(ctx, c)
}

func sdk(t testing.TB, address string) *container.Client {
	t.Helper()
	credential, err := container.NewSharedKeyCredential(account, key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := container.NewClientWithSharedKeyCredential("http://"+address+"/"+account+"/"+name, credential, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

var shared *servers.Azurite

// start returns the Azurite that all tests share, as it takes its time to start.
func start(t testing.TB) *servers.Azurite {
	t.Helper()
	if shared == nil {
		s := servers.StartAzurite(objectstest.Lasting(t), nil)
		if _, err := sdk(t, s.Address).Create(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		shared = s
	}
	return shared
}

func service(t testing.TB) objectstest.Service {
	s := start(t)
	// A kill would cost Azurite what it was told in the last seconds.
	restart := func() { s.Stop(); s.Restart() }
	return objectstest.Service{Server: "Azurite 3.35.0", Emulator: true, Address: s.Address, Open: open, Restart: restart}
}

func TestConformance(t *testing.T)  { objectstest.Conformance(t, service(t)) }
func TestMidOperation(t *testing.T) { objectstest.MidOperation(t, service(t)) }
func TestHistories(t *testing.T)    { objectstest.Histories(t, service(t)) }
func TestProcesses(t *testing.T)    { objectstest.Processes(t, service(t)) }
func TestLeaseFight(t *testing.T)   { objectstest.LeaseFight(t, service(t)) }

func BenchmarkPut(b *testing.B) { benchmark(b, objectstest.BenchmarkPut) }
func BenchmarkGet(b *testing.B) { benchmark(b, objectstest.BenchmarkGet) }

// benchmark measures a provider, with all that stands above a store, and beside it the
// SDK alone.
func benchmark(b *testing.B, run func(*testing.B, *providers.Provider, objectstest.Bare)) {
	s := service(b)
	store, err := open(b.Context(), s.Address, "bench")
	if err != nil {
		b.Fatal(err)
	}
	p := providers.OpenStore(store, providers.Config{})
	defer p.Close()
	run(b, p, bare(sdk(b, s.Address)))
}
