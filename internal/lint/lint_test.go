// Package lint holds the rules of the house as tests: which way imports run,
// who may touch the operating system, that every exported name says what it is,
// and that gofmt, vet and staticcheck have nothing to say.
package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/orbit-persistence/orbit"

// root is the module's directory, seen from this package's.
const root = "../.."

// pkg is what `go list` tells of a package.
type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	// short is the import path within the module.
	short string
}

// list returns the module's packages as they are built with every tag.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-tags", "rocksdb,lmdb", "-json=ImportPath,Dir,Imports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v%s", err, stderrOf(err))
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.short = strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages; the rules would check nothing", len(all))
	}
	return all
}

func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "\n" + string(exit.Stderr)
	}
	return ""
}

// within reports whether path is dir or below it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func withinAny(path string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return within(path, dir) })
}

// allowed returns which of the module's packages a package may import, "" for
// all of them: the design's "imports run one way".
func allowed(path string) []string {
	switch {
	case path == "engine", within(path, "check"):
		return nil
	case withinAny(path, "engine/enginetest", "engine/internal", "engine/vfs", "engine/wal"):
		return []string{"engine"}
	case within(path, "engine"):
		return []string{"engine"}
	case within(path, "providers/drivertest"):
		return []string{"providers/driver", "engine", "check"}
	case path == "providers/driver", path == "providers/config": // whoever reads a configuration links no provider
		return []string{"engine"}
	case path == objectTests:
		return []string{"providers", "engine", "internal/beside", "internal/fight", "internal/servers", "internal/wire"}
	case within(path, "providers"):
		return []string{"providers", "engine"}
	case within(path, "bench"):
		return []string{"engine", "bench", "internal/loopfs"}
	case within(path, "torture"):
		return []string{"engine", "check", "torture", "bench", "internal/loopfs"}
	}
	return []string{""}
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range list(t) {
		for _, imported := range p.Imports {
			short, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if why := forbidden(p.short, short); why != "" {
				t.Errorf("%s imports %s: %s", p.short, short, why)
			}
		}
	}
}

// forTests reports whether a package is for tests alone: suites, and what they run on.
func forTests(path string) bool {
	return slices.Contains([]string{
		"engine/enginetest", "engine/vfs/vfstest", "providers/drivertest", objectTests, "internal/beside", "internal/fight", "internal/servers", "internal/wire",
	}, path)
}

// forbidden says why an import runs the wrong way, "" if it does not.
func forbidden(from, to string) string {
	if !slices.ContainsFunc(allowed(from), func(dir string) bool { return dir == "" || within(to, dir) }) {
		return fmt.Sprintf("it may import only %q", allowed(from))
	}
	switch {
	case from == "providers/config" && to != "engine":
		return "it needs the kinds of error only"
	case forTests(to) && !forTests(from) && (from != "internal/providertable" || to != "providers/drivertest") && from != "internal/fight/fighttable" && from != "internal/ratiotable":
		return "it is for tests alone"
	case within(from, "engine") && isEngine(to) && !within(from, to):
		return "engines do not know each other"
	case within(from, "engine/vfs") && within(to, "engine/wal"):
		return "the log stands on vfs"
	case withinAny(to, "bench", "torture") && !withinAny(from, "bench", "torture", "cmd"):
		return "only cmd and tests stand on it"
	case isProvider(to) && within(from, "providers") && from != "providers/all" && !(from == "providers/minio" && to == "providers/s3"):
		return "a user who imports one provider links no other"
	case within(from, "providers") && isEngine(to) && from != "providers/local" && filepath.Base(from) != filepath.Base(to) && !thin[from+" "+to]:
		return "a provider reaches an engine through its own thin package"
	}
	return ""
}

// objectTests is what the tests of object stores share; only tests import it.
const objectTests = "providers/internal/objects/objectstest"

// thin names the thin providers whose names differ from their engines'.
var thin = map[string]bool{
	"providers/lsmtree engine/lsm":     true,
	"providers/rocksdb engine/rocks":   true,
	"providers/pebble engine/pebbledb": true,
	// The stores of the protocols want column families, which no provider has.
	"providers/protocol engine/rocks": true,
}

// isProvider reports whether path is the package of a backend.
func isProvider(path string) bool {
	return withinAny(path, "providers/memory", "providers/cowbtree", "providers/lsmtree", "providers/flash", "providers/rocksdb", "providers/pebble",
		"providers/s3", "providers/minio", "providers/azure", "providers/gcp", "providers/etcd", "providers/redis", "providers/kubernetes", "providers/composite")
}

func isEngine(path string) bool {
	return !strings.Contains(path, "/internal/") && withinAny(path, "engine/memory", "engine/cowbtree", "engine/lsm", "engine/flash", "engine/rocks", "engine/pebbledb", "engine/peers")
}

// TestRulesCanFail keeps the rules from passing because they match nothing.
func TestRulesCanFail(t *testing.T) {
	for _, bad := range [][2]string{
		{"engine", "engine/vfs"}, {"engine", "bench"}, {"check", "engine"}, {"engine/lsm", "bench"}, {"engine/lsm", "engine/memory"},
		{"engine/lsm", "engine/enginetest"}, {"engine/vfs", "engine/wal"}, {"providers", "bench"}, {"providers/s3", "engine/lsm"},
		{"engine/peers/lmdb", "engine/rocks"}, {"bench", "providers"}, {"providers/lease", "torture"},
		{"providers", "providers/memory"}, {"providers/lease", "providers/pebble"}, {"providers/driver", "providers"}, {"providers", "providers/drivertest"},
		{"providers/config", "providers"}, {"providers/config", "engine/vfs"},
	} {
		if forbidden(bad[0], bad[1]) == "" {
			t.Errorf("%s may import %s, says the rule", bad[0], bad[1])
		}
	}
	for _, good := range [][2]string{
		{"engine/lsm", "engine"}, {"engine/lsm", "engine/wal"}, {"providers/lsmtree", "engine/lsm"}, {"providers/local", "engine"},
		{"bench", "engine/memory"}, {"cmd/orbit-cli", "bench"}, {"providers/rocksdb", "engine/rocks"},
		{"providers/all", "providers/s3"}, {"providers/drivertest", "check"}, {"providers", "providers/intent"},
		{"providers/config", "engine"}, {"providers/lsmtree", "providers/config"},
	} {
		if why := forbidden(good[0], good[1]); why != "" {
			t.Errorf("%s may not import %s, says the rule: %s", good[0], good[1], why)
		}
	}
}

func TestOnlyVFSTouchesTheOS(t *testing.T) {
	for _, p := range list(t) {
		if !within(p.short, "engine") || withinAny(p.short, "engine/vfs", "engine/rocks", "engine/pebbledb", "engine/peers", "engine/enginetest") {
			continue
		}
		for _, imported := range p.Imports {
			if imported == "os" || imported == "syscall" || strings.HasPrefix(imported, "golang.org/x/sys") {
				t.Errorf("%s imports %s; files are reached through engine/vfs", p.short, imported)
			}
		}
	}
}

// sources yields the module's Go files that are not tests.
func sources(t *testing.T, tests bool) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".go") && (tests || !strings.HasSuffix(path, "_test.go")):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found %d Go files; the rules would check nothing", len(files))
	}
	return files
}

func TestExportedNamesAreDocumented(t *testing.T) {
	set := token.NewFileSet()
	documented := map[string]bool{} // packages with a package comment
	packages := map[string]bool{}
	for _, path := range sources(t, false) {
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(path)
		packages[dir] = true
		documented[dir] = documented[dir] || file.Doc != nil
		for _, missing := range undocumented(file) {
			t.Errorf("%s: %s has no docstring", set.Position(missing.Pos()), missing.Name)
		}
	}
	for dir := range packages {
		if !documented[dir] {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// undocumented returns the exported names of a file without a docstring. A group
// of constants or variables may share one. Methods of unexported types, which
// nobody reads the documentation of, need none.
func undocumented(file *ast.File) []*ast.Ident {
	var missing []*ast.Ident
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d))) {
				missing = append(missing, d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
						missing = append(missing, s.Name)
					}
				case *ast.ValueSpec:
					for _, name := range s.Names {
						if name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
							missing = append(missing, name)
						}
					}
				}
			}
		}
	}
	return missing
}

func receiver(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func TestGofmt(t *testing.T) {
	run(t, nil, "gofmt", append([]string{"-l"}, sources(t, true)...)...)
}

func TestVet(t *testing.T) {
	run(t, nil, "go", "vet", "-tags", libraryTags(), "./...")
}

// TestElsewhere: everything, its tests too, has the right types without cgo, and on another
// system, and what has files of a system, or with cgo, is vetted there. To vet all of it
// compiles what the providers need a second and a third time, which took a machine that had
// compiled nothing 16 minutes, and this takes four: of what others wrote the bodies of
// functions are left out.
func TestElsewhere(t *testing.T) {
	inside, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, goos := range []string{"linux", "darwin"} {
		t.Run(goos, func(t *testing.T) {
			loaded, err := packages.Load(&packages.Config{
				Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports |
					packages.NeedDeps | packages.NeedTypes | packages.NeedTypesSizes | packages.NeedSyntax,
				Dir: root, Env: append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0"), Tests: true,
				ParseFile: func(set *token.FileSet, name string, source []byte) (*ast.File, error) {
					file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
					if file != nil && !strings.HasPrefix(name, inside) {
						withoutBodies(file)
					}
					return file, err
				},
			}, "./...")
			if err != nil {
				t.Fatal(err)
			}
			ours, system := 0, map[string]bool{}
			packages.Visit(loaded, nil, func(p *packages.Package) {
				if !strings.HasPrefix(p.PkgPath, module) || strings.HasSuffix(p.PkgPath, ".test") {
					return // of others, or what go writes to run tests
				}
				ours++
				if len(p.IgnoredFiles) > 0 && p.ID == p.PkgPath {
					system[p.PkgPath] = true
				}
				for _, e := range p.Errors {
					t.Error(e)
				}
			})
			if ours < 100 || !system[module+"/engine/vfs"] {
				t.Errorf("%d packages were looked at, of which these have files of a system: %v", ours, system)
			}
			run(t, []string{"GOOS=" + goos, "CGO_ENABLED=0"}, "go", append([]string{"vet"}, slices.Sorted(maps.Keys(system))...)...)
		})
	}
}

// withoutBodies removes what functions do, and keeps what they are.
func withoutBodies(file *ast.File) {
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			f.Body = nil
		}
	}
}

func TestStaticcheck(t *testing.T) {
	run(t, nil, "go", "tool", "-modfile=internal/lint/tools.mod", "staticcheck", "-tags", libraryTags(), "./...")
}

// libraryTags are the build tags whose C libraries this machine has.
func libraryTags() string {
	var tags []string
	for tag, header := range map[string]string{"rocksdb": "/usr/include/rocksdb/c.h", "lmdb": "/usr/include/lmdb.h"} {
		if _, err := os.Stat(header); err == nil {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return strings.Join(tags, ",")
}

// downloads are what go says of modules that the machine does not have yet.
var downloads = regexp.MustCompile(`(?m)^go: downloading .*\n`)

func TestDownloads(t *testing.T) {
	const said = "go: downloading honnef.co/go/tools v0.8.2\na.go:1:1: a finding\ngo: downloading a v1\n"
	if got := downloads.ReplaceAllString(said, ""); got != "a.go:1:1: a finding\n" {
		t.Errorf("%q is left", got)
	}
}

// run fails the test if the command fails, or prints anything but downloads.
func run(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	if name == "gofmt" {
		cmd.Dir = "" // its arguments are seen from here
	}
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	out = downloads.ReplaceAll(out, nil)
	if err != nil || len(out) > 0 {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args[:min(len(args), 6)], " "), err, out)
	}
}

// TestOneProviderLinksItsOwn: whoever imports a provider links its dependencies and no
// other's, and the portable layer links none.
func TestOneProviderLinksItsOwn(t *testing.T) {
	foreign := map[string][]string{ // what only the provider of that name may link
		"memory": {"pierrec/lz4", module + "/engine/memory"}, "cowbtree": {module + "/engine/cowbtree", "pierrec/lz4"},
		"lsmtree": {module + "/engine/lsm", "pierrec/lz4"}, "flash": {module + "/engine/flash", "pierrec/lz4"},
		"pebble": {"cockroachdb/pebble"}, "rocksdb": {"grocksdb"}, "prometheus": {"prometheus/client_golang"},
		"s3": {"aws-sdk-go"}, "etcd": {"go.etcd.io/etcd/client"}, "redis": {"redis/go-redis"},
		"kubernetes": {"k8s.io/client-go"},
	}
	for _, name := range []string{"", "/driver", "/local", "/intent", "/lease", "/node", "/memory", "/cowbtree", "/lsmtree", "/flash", "/rocksdb", "/pebble", "/prometheus", "/s3", "/etcd", "/redis", "/kubernetes"} {
		cmd := exec.Command("go", "list", "-deps", "-tags", "rocksdb", "./providers"+name)
		cmd.Dir = root
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v%s", err, stderrOf(err))
		}
		deps := string(out)
		own := foreign[strings.TrimPrefix(name, "/")]
		for of, libraries := range foreign {
			for _, library := range libraries {
				// Pebble brings Prometheus's client along, and engines share libraries.
				allowed := slices.Contains(own, library) || of == "prometheus" && name == "/pebble"
				if !allowed && strings.Contains(deps, library) {
					t.Errorf("providers%s links %s, which is %s's", name, library, of)
				}
			}
		}
		for _, library := range own {
			if !strings.Contains(deps, library) {
				t.Errorf("providers%s does not link %s; the rule looks for nothing", name, library)
			}
		}
	}
}
