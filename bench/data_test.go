package bench

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeContents makes an index like Debian's in dir, in two overlapping files.
func writeContents(t *testing.T, dir string, rows int) {
	t.Helper()
	for part, name := range []string{"Contents-all.gz", "Contents-amd64.gz"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		z := gzip.NewWriter(f)
		for i := range rows {
			// Every third row stands in both files; every other is one file's own.
			if i%3 == 0 || i%2 == part {
				fmt.Fprintf(z, "usr/share/doc/package %05d/changelog.gz%s section/package-%d-%d\n", i, strings.Repeat(" ", 1+i%7), i, part)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func allDatasets(t *testing.T, records int) map[string]dataset {
	t.Helper()
	dir := t.TempDir()
	writeContents(t, dir, 2*records)
	sets := map[string]dataset{}
	for _, kind := range DataNames {
		spec := dataSpec{Label: kind, Kind: kind, Records: records, Seed: 7, File: filepath.Join(dir, "rows")}
		if kind == "contents" {
			if err := prepareContents(dir, spec); err != nil {
				t.Fatal(err)
			}
		}
		d, err := spec.open()
		if err != nil {
			t.Fatal(err)
		}
		sets[kind] = d
	}
	return sets
}

// TestDatasets: records are in key order, and no fresh or absent key is one of
// them or of each other.
func TestDatasets(t *testing.T) {
	const records = 5000
	for kind, d := range allDatasets(t, records) {
		if d.size() != records {
			t.Fatalf("%s: %d records, want %d", kind, d.size(), records)
		}
		seen := map[string]string{}
		var previous []byte
		for i := range records {
			key := d.key(nil, i)
			if i > 0 && bytes.Compare(previous, key) >= 0 {
				t.Fatalf("%s: key %d, %q, does not follow %q", kind, i, key, previous)
			}
			previous = key
			seen[string(key)] = fmt.Sprintf("record %d", i)
			if len(d.value(nil, i, 0)) != len(d.value(nil, i, 3)) {
				t.Errorf("%s: versions of value %d differ in length", kind, i)
			}
			if bytes.Equal(d.value(nil, i, 0), d.value(nil, i, 3)) {
				t.Errorf("%s: versions of value %d are the same", kind, i)
			}
		}
		for n := range 3 * records {
			for _, number := range []int{n, 1<<40 + n} {
				key := string(d.fresh(nil, number))
				if who, there := seen[key]; there {
					t.Fatalf("%s: fresh key %d, %q, is %s", kind, number, key, who)
				}
				seen[key] = fmt.Sprintf("fresh key %d", number)
			}
		}
		info := d.info()
		if info.Hash == "" || info.Records != records || info.KeyBytes < 16 || info.ValueBytes < 10 {
			t.Errorf("%s: %+v", kind, info)
		}
		again := d.info()
		if again.Hash != info.Hash {
			t.Errorf("%s: the hash is not repeatable", kind)
		}
	}
}

func TestLeaseRecordIsTheSeeds(t *testing.T) {
	info := newLeases(dataSpec{Label: "lease", Kind: "lease", Records: 10_000}).info()
	if info.KeyBytes < 45 || info.KeyBytes > 52 || info.ValueBytes < 400 || info.ValueBytes > 450 {
		t.Errorf("key %.1f B, value %.1f B; the seed's are about 48 and 430", info.KeyBytes, info.ValueBytes)
	}
}

func TestContentsMergesItsFiles(t *testing.T) {
	d := allDatasets(t, 900)["contents"].(*contents)
	if want := 1800; d.sourceRows != want {
		t.Errorf("the index has %d rows, want %d", d.sourceRows, want)
	}
	both := 0
	for i := range d.size() {
		path, packages := d.row(i)
		if !strings.HasPrefix(string(path), "usr/share/doc/package ") || !strings.HasSuffix(string(path), "/changelog.gz") {
			t.Fatalf("path %q", path)
		}
		if strings.Contains(string(packages), ",") {
			both++
		}
	}
	if both == 0 {
		t.Error("no path has the packages of both files")
	}
}

func TestContentsRefusesDamage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Contents-all.gz"), []byte("no gzip"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := prepareContents(dir, dataSpec{Records: 10, File: filepath.Join(dir, "rows")})
	if err == nil || !strings.Contains(err.Error(), "Contents-all.gz") {
		t.Errorf("a damaged index: %v", err)
	}
	empty := t.TempDir()
	if err := prepareContents(empty, dataSpec{Records: 10, File: filepath.Join(empty, "rows")}); !IsUsage(err) {
		t.Errorf("no index: %v", err)
	}
	small := t.TempDir()
	writeContents(t, small, 100)
	if err := prepareContents(small, dataSpec{Records: 1000, File: filepath.Join(small, "rows")}); !IsUsage(err) {
		t.Errorf("an index that is too small: %v", err)
	}
}
