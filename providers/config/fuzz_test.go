package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// What is read is either refused by errors of this package, or a configuration that
// is read as the same from what it writes of itself.
func checkRead(t *testing.T, c *Config, err error) {
	if err != nil {
		if len(Errors(err)) == 0 {
			t.Fatalf("%v is no *Error", err)
		}
		for _, e := range Errors(err) {
			if e.Problem == "" {
				t.Fatalf("%#v says nothing", e)
			}
		}
		return
	}
	roundTrip(t, "input", c)
}

func FuzzTOML(f *testing.F) {
	addFiles(f, ".toml")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f.toml", []byte(text), nil)
		checkRead(t, c, err)
	})
}

func FuzzJSON(f *testing.F) {
	addFiles(f, ".json")
	f.Add(`{"providers": {"a": {"type": "Memory", "max_entries": 1e400, "disk_backup": null}}}`)
	f.Add(strings.Repeat(`{"a":`, 100))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f.json", []byte(text), nil)
		checkRead(t, c, err)
	})
}

func FuzzEnvironment(f *testing.F) {
	for _, text := range []string{"ORBIT_S3_BUCKET=b\nORBIT_S3_REGION=r", "ORBIT_PERSISTENCE_BACKEND=gcp", "ORBIT_REDIS_URL=redis://a:b@c/1", "ORBIT_COMPOSITE_PRIMARY_TYPE=Memory\nORBIT_COMPOSITE_BACKUP_TYPE=lsm"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Read("", strings.Split(text, "\n"))
		checkRead(t, c, err)
	})
}

func addFiles(f *testing.F, ending string) {
	for _, dir := range []string{"testdata/seed", "../../examples/config"} {
		files, err := filepath.Glob(dir + "/*" + ending)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
}

// TestDeepNesting: text that is nested as deep as a file may be long is refused, not
// a stack that overflows.
func TestDeepNesting(t *testing.T) {
	for _, n := range []int{20, 1000, 40_000} {
		for file, text := range map[string]string{
			"list.toml":    "a = " + strings.Repeat("[", n) + strings.Repeat("]", n),
			"table.toml":   "a = " + strings.Repeat("{a=", n) + "1" + strings.Repeat("}", n),
			"dotted.toml":  "a" + strings.Repeat(".a", n) + " = 1",
			"list.json":    strings.Repeat("[", n) + strings.Repeat("]", n),
			"table.json":   strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n),
			"section.toml": "[a" + strings.Repeat(".a", n) + "]",
		} {
			if len(text) > MaxFileSize {
				t.Fatalf("%s, %d deep, would be refused for its size", file, n)
			}
			_, err := Parse(file, []byte(text), nil)
			// A list of lists is one value, whose depth the library alone bounds.
			deep := n > maxDepth && (file != "list.toml" || n > 10_000)
			if len(Errors(err)) == 0 || deep && !strings.Contains(err.Error(), "nested") {
				t.Errorf("%s, %d deep: %v", file, n, err)
			}
		}
	}
	// The paths of a key's parts take memory with the square of their number.
	if n := len(tomlPlaces("o.toml", []byte("a"+strings.Repeat(".a", 1000)+" = 1"))); n > maxDepth+1 {
		t.Errorf("%d places are kept of one key", n)
	}
	var values map[string]any // and the library itself refuses it
	if err := toml.Unmarshal([]byte("a = "+strings.Repeat("[", 100_000)), &values); err == nil {
		t.Error("the TOML library reads any depth")
	}
}

// TestLargeFiles: what is full of mistakes is told in a hundred of them.
func TestLargeFiles(t *testing.T) {
	var toml, json strings.Builder
	toml.WriteString("[providers.a]\ntype = \"Memory\"\n")
	json.WriteString(`{"providers": {"a": {`)
	for i := range 12_000 {
		fmt.Fprintf(&toml, "a%d = 1\n", i)
		fmt.Fprintf(&json, "\"a%d\": 1,\n", i)
	}
	json.WriteString(`"type": "Memory"}}}`)
	for file, text := range map[string]string{"o.toml": toml.String(), "o.json": json.String()} {
		if _, err := Parse(file, []byte(text), nil); len(Errors(err)) != maxMistakes+1 || !strings.HasSuffix(err.Error(), "and 11900 more") {
			t.Errorf("%s: %d mistakes", file, len(Errors(err)))
		}
	}
}
