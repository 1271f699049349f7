package s3_test

import (
	"testing"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/internal/objects/objectstest"
)

// BenchmarkPut and BenchmarkGet measure a provider, with all that stands above a
// store, and beside it the SDK alone.
func BenchmarkPut(b *testing.B) { benchmark(b, objectstest.BenchmarkPut) }

func BenchmarkGet(b *testing.B) { benchmark(b, objectstest.BenchmarkGet) }

func benchmark(b *testing.B, run func(*testing.B, *providers.Provider, objectstest.Bare)) {
	server := start(b)
	store, err := open(b.Context(), server.Address, "bench")
	if err != nil {
		b.Fatal(err)
	}
	p := providers.OpenStore(store, providers.Config{})
	defer p.Close()
	run(b, p, objectstest.BareS3(sdk(server.Address), bucket))
}
