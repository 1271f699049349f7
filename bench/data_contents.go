package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/orbit-persistence/orbit/bench/result"
)

// contents is real data: the index of Debian that says which package ships
// which path. Keys share long prefixes, and differ in length.
type contents struct {
	spec dataSpec
	rows []byte
	// at[i] is where record i begins: its path, a tab, its packages, a newline.
	// Behind the records lie the rows that fresh draws from.
	at      []uint32
	records int
	// sourceRows is how many rows the index has in all.
	sourceRows int
}

// ContentsDir is where `make deps-bench` keeps the Contents index: the newest
// release below $ORBIT_CACHE/contents, or ~/.cache/orbit/contents.
func ContentsDir() (string, error) {
	root := os.Getenv("ORBIT_CACHE")
	if root == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		root = filepath.Join(home, ".cache", "orbit")
	}
	done, err := filepath.Glob(filepath.Join(root, "contents", "*", "complete"))
	if err != nil {
		return "", err
	}
	if len(done) == 0 {
		return "", Usagef("the Contents index is not in %s; run `make deps-bench`, or choose other --data", filepath.Join(root, "contents"))
	}
	sort.Strings(done)
	return filepath.Dir(done[len(done)-1]), nil
}

// prepareContents draws spec.Records rows evenly from the index, and half as
// many others from between them, and writes them to spec.File: first a line
// with the counts, then the records in order, then the others in random order.
func prepareContents(dir string, spec dataSpec) (err error) {
	names, err := filepath.Glob(filepath.Join(dir, "Contents-*.gz"))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return Usagef("%s holds no Contents-*.gz; remove it and run `make deps-bench` again", dir)
	}
	total, err := mergeContents(names, func([]byte, []byte) {})
	if err != nil {
		return err
	}
	others := spec.Records / 2
	if spec.Records+others > total {
		return Usagef("--records %d with --data contents: the index has %d rows, and the bench needs half as many again for its inserts: %d at most", spec.Records, total, total*2/3)
	}
	f, err := os.Create(spec.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	fmt.Fprintf(w, "%d %d %d\n", spec.Records, others, total)
	n, taken := 0, 0
	var rest []byte
	var restAt []int
	_, err = mergeContents(names, func(path, packages []byte) {
		// Row n is a record where n*Records/total steps up: evenly spread. The
		// others are drawn the same way from the rows that are left.
		left := n - taken
		switch {
		case (n+1)*spec.Records/total > n*spec.Records/total:
			taken++
			w.Write(path)
			w.WriteByte('\t')
			w.Write(packages)
			w.WriteByte('\n')
		case (left+1)*others/(total-spec.Records) > left*others/(total-spec.Records):
			restAt = append(restAt, len(rest))
			rest = append(append(append(append(rest, path...), '\t'), packages...), '\n')
		}
		n++
	})
	if err != nil {
		return err
	}
	restAt = append(restAt, len(rest))
	for _, i := range shuffled(len(restAt)-1, spec.Seed) {
		w.Write(rest[restAt[i]:restAt[i+1]])
	}
	return w.Flush()
}

// shuffled returns 0..n-1 in an order that the seed decides.
func shuffled(n int, seed uint64) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := int(mix(uint64(i)^seed) % uint64(i+1))
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// mergeContents walks the sorted files as one sorted list, in which a path that
// several have stands once, and returns its length.
func mergeContents(names []string, row func(path, packages []byte)) (int, error) {
	var sources []*contentsSource
	defer func() {
		for _, s := range sources {
			s.close()
		}
	}()
	for _, name := range names {
		s, err := openContentsSource(name)
		if err != nil {
			return 0, err
		}
		sources = append(sources, s)
	}
	total := 0
	var path, packages []byte
	for {
		var first *contentsSource
		for _, s := range sources {
			if !s.done && (first == nil || bytes.Compare(s.path, first.path) < 0) {
				first = s
			}
		}
		if first == nil {
			return total, nil
		}
		path = append(path[:0], first.path...)
		packages = packages[:0]
		for _, s := range sources {
			for !s.done && bytes.Equal(s.path, path) {
				if len(packages) > 0 {
					packages = append(packages, ',')
				}
				packages = append(packages, s.packages...)
				if err := s.next(); err != nil {
					return 0, err
				}
			}
		}
		row(path, packages)
		total++
	}
}

type contentsSource struct {
	name           string
	file           *os.File
	lines          *bufio.Scanner
	path, packages []byte
	previous       []byte
	done           bool
}

func openContentsSource(name string) (*contentsSource, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s := &contentsSource{name: name, file: f, lines: bufio.NewScanner(z)}
	s.lines.Buffer(make([]byte, 1<<16), 1<<20)
	if err := s.next(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *contentsSource) close() { s.file.Close() }

// next reads a line: a path, which may hold spaces, spaces, and a list of
// packages, which does not.
func (s *contentsSource) next() error {
	s.previous = append(s.previous[:0], s.path...)
	if !s.lines.Scan() {
		s.done = true
		if err := s.lines.Err(); err != nil && err != io.EOF {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		return nil
	}
	line := bytes.TrimRight(s.lines.Bytes(), " ")
	cut := bytes.LastIndexAny(line, " \t")
	if cut < 0 {
		return fmt.Errorf("%s: line %q has no package", s.name, line)
	}
	s.path = append(s.path[:0], bytes.TrimRight(line[:cut], " \t")...)
	s.packages = append(s.packages[:0], line[cut+1:]...)
	if bytes.Compare(s.path, s.previous) < 0 {
		return fmt.Errorf("%s: %q follows %q: not sorted", s.name, s.path, s.previous)
	}
	return nil
}

// openContents reads what prepareContents wrote.
func openContents(spec dataSpec) (*contents, error) {
	rows, err := mapFile(spec.File)
	if err != nil {
		return nil, err
	}
	c := &contents{spec: spec, rows: rows}
	var others int
	head := bytes.IndexByte(rows, '\n')
	if head < 0 {
		return nil, fmt.Errorf("%s: empty", spec.File)
	}
	if _, err := fmt.Sscanf(string(rows[:head]), "%d %d %d", &c.records, &others, &c.sourceRows); err != nil {
		return nil, fmt.Errorf("%s: first line: %w", spec.File, err)
	}
	c.at = make([]uint32, 0, c.records+others+1)
	for at := head + 1; at < len(rows); {
		c.at = append(c.at, uint32(at))
		end := bytes.IndexByte(rows[at:], '\n')
		if end < 0 {
			break
		}
		at += end + 1
	}
	if len(c.at) != c.records+others {
		return nil, fmt.Errorf("%s: %d rows; the first line says %d", spec.File, len(c.at), c.records+others)
	}
	c.at = append(c.at, uint32(len(rows)))
	return c, nil
}

func (c *contents) size() int { return c.records }

// row returns path and packages of any row.
func (c *contents) row(i int) (path, packages []byte) {
	line := c.rows[c.at[i] : c.at[i+1]-1]
	tab := bytes.IndexByte(line, '\t')
	return line[:tab], line[tab+1:]
}

func (c *contents) key(dst []byte, i int) []byte {
	path, _ := c.row(i)
	return append(dst, path...)
}

// fresh gives the rows between the records, and when they are used up the same
// paths with a number behind them, as a newer file beside the old one.
func (c *contents) fresh(dst []byte, n int) []byte {
	others := len(c.at) - 1 - c.records
	if others == 0 {
		return strconv.AppendInt(append(dst, "~"...), int64(n), 10)
	}
	path, _ := c.row(c.records + n%others)
	dst = append(dst, path...)
	if n >= others {
		dst = strconv.AppendInt(append(dst, ".~"...), int64(n/others), 10)
	}
	return dst
}

func (c *contents) value(dst []byte, i, version int) []byte {
	_, packages := c.row(i)
	at := len(dst)
	dst = append(dst, packages...)
	if version > 0 && len(packages) > 0 {
		dst[at] = 'A' + byte(version%26)
	}
	return dst
}

func (c *contents) info() result.DataInfo {
	return describe(c, c.spec, "Debian's Contents index: path to packages, sampled evenly", c.sourceRows)
}

// EachContents calls each for every row of the index in a directory, as ContentsDir names
// it, in the order of the paths, and returns how many there are. The bytes are good until
// each returns.
func EachContents(dir string, each func(path, packages []byte)) (rows int, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "Contents-*.gz"))
	if err != nil {
		return 0, err
	}
	return mergeContents(names, each)
}
