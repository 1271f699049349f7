package all_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
)

// TestEtcdAndRedisTakeEveryOption: an option arrives in the field of the same name, and
// retry_count in what stands above it. What each does is tested against a server, by its
// package.
func TestEtcdAndRedisTakeEveryOption(t *testing.T) {
	cluster := config.Redis{
		URL: "rediss://redis.test:6380", ClusterMode: true, Username: "user", Password: config.NewSecret("a"), CACert: "ca.pem", Prefix: "prefix",
		ConnectionTimeout: time.Second, PoolSize: 7, RetryCount: 4, Partitions: 9, WaitReplicas: 2, WaitTimeout: 3 * time.Second,
	}
	numbered := config.Default[config.Redis]()
	numbered.Database, numbered.Partitions = 3, 1
	members := config.Etcd{
		Endpoints: []string{"https://a:1", "https://b:1"}, Prefix: "prefix", Username: "user", Password: config.NewSecret("a"),
		CACert: "ca.pem", ClientCert: "client.pem", ClientKey: "client.key", ConnectionTimeout: time.Second, LeaseTTL: 3 * time.Second,
	}
	seen := map[config.Kind]map[string]bool{config.KindRedis: {}, config.KindEtcd: {}}
	for _, b := range []config.Backend{cluster, numbered, members} {
		c, err := all.Config("name", b)
		if err != nil {
			t.Fatal(err)
		}
		from, to := reflect.ValueOf(b), reflect.ValueOf(c.Options)
		for i := range from.NumField() {
			name := from.Type().Field(i).Name
			if !from.Field(i).IsZero() {
				seen[b.Kind()][name] = true
			}
			if name == "RetryCount" {
				if got := c.Retry.Count; got != int(from.Field(i).Int()) {
					t.Errorf("%s: RetryCount becomes %d", b.Kind(), got)
				}
				continue
			}
			if got := to.FieldByName(name); !got.IsValid() || !reflect.DeepEqual(got.Interface(), from.Field(i).Interface()) {
				t.Errorf("%s: %s is %v, and becomes %v", b.Kind(), name, from.Field(i), got)
			}
		}
	}
	for _, b := range []config.Backend{config.Redis{}, config.Etcd{}} {
		for i := range reflect.TypeOf(b).NumField() {
			if name := reflect.TypeOf(b).Field(i).Name; !seen[b.Kind()][name] {
				t.Errorf("%s: %s was never given", b.Kind(), name)
			}
		}
	}
	// The default of partitions is that of a cluster.
	if c, err := all.Config("name", config.Default[config.Redis]()); err != nil || reflect.ValueOf(c.Options).FieldByName("Partitions").Int() != 1 {
		t.Errorf("a server of its own has %+v, %v", c.Options, err)
	}
}
