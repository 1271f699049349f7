package migrate_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/migrate"
)

// writeSummed writes an export of these lines, with a last line that fits them.
func writeSummed(t testing.TB, path string, lines ...string) {
	t.Helper()
	text := strings.Join(lines, "\n") + "\n"
	p := open(t, "memory", "tally")
	var writes []driver.Write
	for _, line := range lines[1:] {
		if e, err := migrate.ParseEntry([]byte(line)); err == nil {
			writes = append(writes, driver.Write{Key: e.Key, Value: e.Value})
		}
	}
	if err := p.BulkPut(t.Context(), writes); err != nil {
		t.Fatal(err)
	}
	r, err := migrate.Validate(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	last := fmt.Sprintf(`{"orbit_export_end":1,"entries":%d,"expiring":0,"leases":0,"nodes":0,"bytes":%d,"digest":"%s","sha256":"%s"}`, len(lines)-1, r.Bytes, r.Digest, hex.EncodeToString(sum[:]))
	if err := os.WriteFile(path, []byte(text+last+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func equal(a, b providers.Entry) bool {
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && a.ExpiresAt.Equal(b.ExpiresAt)
}

// FuzzLine: the short way to read a line says what a JSON decoder says, or nothing; what
// is read and written again is read the same; nothing panics.
func FuzzLine(f *testing.F) {
	for _, line := range []string{
		`{"key":"k","value":"v"}`, `{"key64":"AP8=","value64":""}`, `{"key":"k","value":"\u00fc\n","expires":"2026-11-26T05:00:00.5+01:00"}`,
		`{"key":"","value":""}`, `{"key":"k"}`, `{"key":"k","value":"v"} x`, `{"key":"k","value":"v","more":1}`, `{"key":"k","key64":"AA==","value":"v"}`,
		`{"key":"k","value":"\ud800"}`, "{\"key\":\"\xff\",\"value\":\"\"}", `{"Key":"k","value":"v"}`, `{"key":"k","value64":"A"}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		slow, slowErr := migrate.ParseJSON(line)
		if fast, ok := migrate.ParsePlain(bytes.Clone(line)); ok && (slowErr != nil || !equal(fast, slow)) {
			t.Fatalf("%q is %+v, and by JSON %+v, %v", line, fast, slow, slowErr)
		}
		e, err := migrate.ParseEntry(bytes.Clone(line))
		if (err == nil) != (slowErr == nil) {
			t.Fatalf("%q: %v and %v", line, err, slowErr)
		}
		if err != nil || e.ExpiresAt.Year() < 1 || e.ExpiresAt.Year() > 9999 {
			return
		}
		again := migrate.AppendEntry(nil, &e)
		if back, err := migrate.ParseEntry(bytes.TrimSuffix(again, []byte("\n"))); err != nil || !equal(back, e) {
			t.Fatalf("%q becomes %q, which is %+v, %v", line, again, back, err)
		}
	})
}

// FuzzEntry: every entry goes through a line, which is JSON and one line.
func FuzzEntry(f *testing.F) {
	f.Add([]byte("k"), []byte("v"), int64(0))
	f.Add([]byte{0, 0xff}, []byte("\u2028\"\\\b"), int64(1e18))
	f.Fuzz(func(t *testing.T, key, value []byte, expires int64) {
		if len(key) == 0 {
			return
		}
		e := providers.Entry{Key: key, Value: value}
		if expires > 0 {
			e.ExpiresAt = time.Unix(0, expires).UTC()
		}
		line := migrate.AppendEntry(nil, &e)
		if bytes.IndexByte(line, '\n') != len(line)-1 || !json.Valid(line) {
			t.Fatalf("%q", line)
		}
		if back, err := migrate.ParseEntry(line[:len(line)-1]); err != nil || !equal(back, e) {
			t.Fatalf("%q is %+v, %v", line, back, err)
		}
	})
}
