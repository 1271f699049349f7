package all_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/composite"
	"github.com/orbit-persistence/orbit/providers/config"
)

// compositeOptions are, for each option of a composite, a text that sets it and what
// comes to the composite, whose own tests show how it acts.
var compositeOptions = map[string]struct {
	text string
	got  func(c composite.Config) any
	want any
}{
	"primary":               {"", func(c composite.Config) any { return c.Primary.Backend }, "memory"},
	"backup":                {"", func(c composite.Config) any { return c.Backup.Backend }, "s3"},
	"mode":                  {`mode = "periodic"`, func(c composite.Config) any { return c.Mode }, composite.Periodic},
	"allow_single":          {"allow_single = true", func(c composite.Config) any { return c.AllowSingle }, true},
	"sync_interval":         {"sync_interval = 7", func(c composite.Config) any { return c.SyncInterval }, 7 * time.Second},
	"health_check_interval": {"health_check_interval = 7", func(c composite.Config) any { return c.HealthCheckInterval }, 7 * time.Second},
	"failover_threshold":    {"failover_threshold = 7", func(c composite.Config) any { return c.FailoverThreshold }, 7},
	"lease_ttl":             {"lease_ttl = 7", func(c composite.Config) any { return c.LeaseTTL }, 7 * time.Second},
	"request_timeout":       {"request_timeout = 7", func(c composite.Config) any { return c.RequestTimeout }, 7 * time.Second},
}

const compositeSides = `
[providers.c.primary]
type = "Memory"
max_entries = 5
[providers.c.backup]
type = "S3"
region = "r"
bucket = "b"
retry_count = 4
`

func TestEveryOptionOfACompositeIsMapped(t *testing.T) {
	for _, option := range listedOptions(t)[config.KindComposite] {
		o, ok := compositeOptions[option]
		if !ok {
			t.Errorf("%s is documented, and no test shows that it comes to the composite", option)
			continue
		}
		c := read(t, "[providers.c]\ntype = \"Composite\"\n"+o.text+compositeSides)
		p, err := all.Config("c", c.Providers["c"])
		if err != nil {
			t.Fatal(err)
		}
		if got := o.got(p.Options.(composite.Config)); !reflect.DeepEqual(got, o.want) {
			t.Errorf("%s: %v, want %v", option, got, o.want)
		}
		if n := p.Options.(composite.Config).Backup.Retries; n != 4 {
			t.Errorf("retry_count of the backup: %d", n)
		}
	}
	for text, want := range map[string]string{
		"mode = \"cache\"\nallow_single = true": "allow_single", "mode = \"cache\"\nlease_ttl = 7": "lease_ttl", "mode = \"fast\"": "mode",
	} {
		_, err := config.Parse("test.toml", []byte("[providers.c]\ntype = \"Composite\"\n"+text+compositeSides), nil)
		if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestCompositeOpens: a composite of a configuration opens, keeps both sides, and tells
// what it cannot open.
func TestCompositeOpens(t *testing.T) {
	c := read(t, `
[providers.c]
type = "Composite"
[providers.c.primary]
type = "Memory"
[providers.c.backup]
type = "CowBTree"
`)
	for range 2 {
		p, err := all.OpenOne(t.Context(), c, "c")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Get(t.Context(), []byte("key")); err != nil && !errors.Is(err, providers.ErrNotFound) {
			t.Error(err)
		}
		put(t, p, "key", []byte("value"))
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p, err := all.OpenOne(t.Context(), c, "c")
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, p)
	if e, err := p.Get(t.Context(), []byte("key")); err != nil || string(e.Value) != "value" {
		t.Errorf("%q, %v", e.Value, err)
	}
}
