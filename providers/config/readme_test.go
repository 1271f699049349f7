package config

import (
	"os"
	"strings"
	"testing"
)

// TestReadme: the README's configuration is read as printed, with its variables,
// and the mistakes that it shows are what is told of them.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Configure providers\n")
	if !ok {
		t.Fatal("the README has no section on configuration")
	}
	blocks := map[string]string{} // the first of each language
	for i, part := range strings.Split(section, "```") {
		if language, block, _ := strings.Cut(part, "\n"); i%2 == 1 && blocks[language] == "" {
			blocks[language] = block
		}
	}
	fenced := func(language string) string {
		if blocks[language] == "" {
			t.Fatalf("the section has no block of %q", language)
		}
		return blocks[language]
	}
	file := fenced("toml")
	exports, _, _ := strings.Cut(strings.TrimPrefix(fenced("sh"), "export "), " #")
	environ := strings.Fields(exports)
	c, err := Parse("orbit.toml", []byte(file), environ)
	if err != nil {
		t.Fatal(err)
	}
	etcd := c.Providers["etcd"].(Etcd)
	if c.Server.PersistenceBackend != "records" || c.Defaults != (Defaults{"records", "etcd"}) || etcd.Username != "orbit" || etcd.Password.Reveal() != "secret" {
		t.Errorf("read as\n%s", c)
	}
	wrong := strings.NewReplacer("memtable_size_mb = 128", "memtable_mb = 128", "block_cache_mb = 512", "block_cache_mb = \"512MB\"").Replace(file)
	_, err = Parse("orbit.toml", []byte(wrong), []string{"ORBIT_ETCD_PASWORD=secret"})
	if want := strings.TrimSpace(fenced("")); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nthe README shows\n%s", err, want)
	}
}
