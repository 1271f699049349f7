package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	dir := t.TempDir()
	if _, err := table(dir); err == nil {
		t.Error("an empty directory makes a table")
	}
	for name, text := range map[string]string{
		"a": `{"Provider":"etcd","Server":"etcd 1","Acquisitions":7,"Writes":5,"Refused":2}`,
		"b": `{"Provider":"gcp","Server":"fake","Emulator":true,"Acquisitions":3,"Overlaps":1,"Accepted":4,"Failed":true}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := table(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| `etcd` | etcd 1 | 7 | 0 | 5 | 2 | 0 |", "| passed |", "| `gcp` | fake (an emulator) | 3 | 1 |", "| **failed** |", "| all | | 10 | 1 | | | 4 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "c.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := table(dir); err == nil {
		t.Error("half a record is read")
	}
}
