package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Config is a whole configuration: which providers there are, and which of them
// serves what. Every default is filled in, and all of it has been validated.
type Config struct {
	Server   Server
	Defaults Defaults
	// Providers are the backends by name. The values are the structs of this package.
	Providers map[string]Backend

	// origins tells where an option was read, by its path.
	origins map[string]string
}

// Server is the section [server].
type Server struct {
	// PersistenceBackend selects the provider for general use, by its name or by any
	// spelling of its backend. A read configuration holds the provider's name. It is
	// empty only where several providers are there, none is selected, and both of
	// [defaults] are.
	PersistenceBackend string `name:"persistence_backend"`
	// DataDir is the directory of the server. A local provider that is not told its
	// own lies in the directory of its name below it.
	DataDir string `name:"data_dir" default:"orbit_data" required:"true"`
}

// Defaults is the section [defaults]: which provider keeps the addressable leases
// and which the cluster's nodes, selected like PersistenceBackend, which also is
// what is taken where one is not given. A read configuration holds the names.
type Defaults struct {
	// Addressable keeps the leases of addressables.
	Addressable string `name:"addressable"`
	// Cluster keeps the nodes of the cluster.
	Cluster string `name:"cluster"`
}

// Read reads a file, in TOML if its name ends in .toml and in JSON if it ends in
// .json, and an environment in the form of os.Environ, which goes before the file.
// Without a file, file == "", the environment is all. The error holds every mistake
// as an *Error; Errors lists them.
func Read(file string, environ []string) (*Config, error) {
	if file == "" {
		return build(newTable(place{}), environ)
	}
	text, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(file, text, environ)
}

// readFile reads no more than tells that a file is too large.
func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > MaxFileSize {
		return make([]byte, MaxFileSize+1), nil // refused by its size, unread
	}
	return os.ReadFile(file)
}

// Parse is Read of a text; file is its name in errors, and tells the format.
func Parse(file string, text []byte, environ []string) (*Config, error) {
	if e := checkText(file, text); e != nil {
		return nil, e
	}
	parse := map[string]func(string, []byte) (*node, *Error){".toml": parseTOML, ".json": parseJSON}[strings.ToLower(filepath.Ext(file))]
	if parse == nil {
		return nil, place{file: file}.error("", "is neither TOML nor JSON by its name; let it end in .toml or .json", "")
	}
	root, e := parse(file, text)
	if e != nil {
		return nil, e
	}
	return build(root, environ)
}

// Provider returns the provider that a name or a spelling of a backend selects, and
// its name. An error is an *Error that lists what there is.
func (c *Config) Provider(selection string) (name string, b Backend, err error) {
	kinds := map[string]Kind{}
	for name, b := range c.Providers {
		kinds[name] = b.Kind()
	}
	name, s, problem := choose(selection, kinds)
	switch {
	case problem != nil:
		return "", nil, problem
	case name == "":
		return "", nil, &Error{Problem: fmt.Sprintf("there is no provider of backend %s; there are %s", s.Kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))}
	}
	return name, c.Providers[name], nil
}

// Files give providers' names; tables and paths are made of them.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// choose finds the provider that a selection means: the one of that name, or the
// one of that backend, which the backend's own name tells among several. Where
// there is none, name is empty, and s is the backend.
func choose(selection string, kinds map[string]Kind) (name string, s Spelling, problem *Error) {
	if _, ok := kinds[selection]; ok {
		return selection, s, nil
	}
	s, ok := lookUpKind(selection)
	if !ok {
		return "", s, unknownName("no provider and no backend is called", selection, slices.Sorted(maps.Keys(kinds)))
	}
	name, e := ofKind(s.Kind, kinds)
	return name, s, e
}

// ofKind finds the provider of a kind: the one of its name, else the only one.
func ofKind(kind Kind, kinds map[string]Kind) (string, *Error) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if kinds[name] == kind {
			names = append(names, name)
		}
	}
	switch {
	case slices.Contains(names, string(kind)):
		return string(kind), nil
	case len(names) == 1:
		return names[0], nil
	case len(names) > 1:
		return "", &Error{Problem: fmt.Sprintf("%s are all of backend %s; name one of them, or call one %q", strings.Join(names, ", "), kind, kind)}
	}
	if other, taken := kinds[string(kind)]; taken {
		return "", &Error{Problem: fmt.Sprintf("there is no provider of backend %s; the one called %q is of %s", kind, kind, other)}
	}
	return "", nil
}

// loader makes a Config of a tree and an environment.
type loader struct {
	decoder
	root      *node
	providers map[string]*node
	kinds     map[string]Kind
}

func build(root *node, environ []string) (*Config, error) {
	l := &loader{decoder: decoder{read: newReadOptions()}, root: root, providers: map[string]*node{}, kinds: map[string]Kind{}}
	settings, errs := parseEnvironment(environ)
	l.errs = errs
	sections := l.sections()
	for name, n := range sections["providers"].fields {
		l.declare(name, n)
	}
	l.loose(settings, sections)
	l.environment(settings, sections)

	c := &Config{Providers: map[string]Backend{}}
	setDefaults(&c.Server)
	for name, section := range map[string]any{"server": &c.Server, "defaults": &c.Defaults} {
		r := l.report(name+".", sections[name], "")
		l.fill(r, reflect.ValueOf(section).Elem(), sections[name], "", nil, "")
		r.validate(reflect.ValueOf(section).Elem())
	}
	l.selections(c)
	for _, name := range slices.Sorted(maps.Keys(l.providers)) {
		if b := l.provider(name, c.Server.DataDir); b != nil {
			c.Providers[name] = b
		}
	}
	l.places(c)
	if err := join(l.errs); err != nil {
		return nil, err
	}
	c.origins = map[string]string{}
	for path, at := range l.read.places {
		c.origins[path] = at.String()
	}
	return c, nil
}

func (l *loader) fail(e *Error) { l.errs = append(l.errs, e) }

var sectionNames = []string{"server", "defaults", "providers"}

// sections returns the three sections, empty where they are missing.
func (l *loader) sections() map[string]*node {
	sections := map[string]*node{}
	for _, name := range sectionNames {
		n := l.root.fields[name]
		if n != nil && !n.isTable() {
			l.fail(n.at.error(name, mustBe("a table", n.content()), ""))
			n = nil
		}
		if n == nil {
			n = newTable(l.root.at)
		}
		sections[name] = n
	}
	return sections
}

// declare takes a provider's table.
func (l *loader) declare(name string, n *node) {
	path := "providers." + name
	switch {
	case !namePattern.MatchString(name):
		l.fail(n.at.error("providers", "the name "+quote(name)+" must be of letters, digits, _ and -, 64 at most", ""))
	case !n.isTable():
		l.fail(n.at.error(path, mustBe("a table", n.content()), ""))
	default:
		l.providers[name] = n
		l.kinds[name] = ""
		if typ, ok := n.fields["type"]; ok {
			if text, ok := typ.value.(string); ok {
				s, _ := lookUpKind(text)
				l.kinds[name] = s.Kind
			}
		}
	}
}

// loose takes what stands in no section. A file may be one backend alone: its
// options, without tables. They are of the backend that type names, or that is
// selected, else of the default one.
func (l *loader) loose(settings []setting, sections map[string]*node) {
	options := newTable(l.root.at)
	for _, name := range slices.Sorted(maps.Keys(l.root.fields)) {
		n := l.root.fields[name]
		switch {
		case slices.Contains(sectionNames, name):
		case n.isTable() && !isTableOption(name):
			suggestion := nearest(name, sectionNames)
			problem := "unknown section"
			if suggestion == "" {
				problem += "; the sections are " + strings.Join(sectionNames, ", ")
			}
			l.fail(n.at.error(name, problem, suggestion))
		case len(l.providers) > 0 || l.root.fields["providers"] != nil:
			l.fail(n.at.error(name, "stands in no section; options of a provider belong below [providers.NAME]", nearest(name, sectionNames)))
		default:
			options.fields[name] = n
		}
	}
	if len(options.fields) == 0 {
		return
	}
	selected := &node{value: string(DefaultKind)}
	if n, ok := sections["server"].fields["persistence_backend"]; ok {
		selected = n
	}
	for _, s := range settings {
		if s.variable == BackendVariable {
			selected = &node{at: place{variable: s.variable}, value: s.value}
		}
	}
	if n, ok := options.fields["type"]; ok {
		selected = n
	}
	options.fields["type"] = selected
	text, _ := selected.value.(string)
	name := text
	if s, ok := lookUpKind(text); ok {
		name = string(s.Kind)
	}
	if !namePattern.MatchString(name) {
		name = string(DefaultKind) // the type is reported
	}
	l.declare(name, options)
}

// isTableOption reports whether some backend has an option of that name which is a
// table.
func isTableOption(name string) bool {
	return slices.Contains([]string{"disk_backup", "primary", "backup"}, name)
}

// environment puts what variables set over what the file says. A backend that no
// provider has is declared by its variables.
func (l *loader) environment(settings []setting, sections map[string]*node) {
	for _, s := range settings {
		at := place{variable: s.variable}
		table := sections[s.target.section]
		if s.target.kind != "" {
			name, e := ofKind(s.target.kind, l.kinds)
			if e != nil {
				l.fail(at.error("", e.Problem, ""))
				continue
			}
			if name == "" {
				name = string(s.target.kind)
				l.implicit(name, s.target.kind, at)
			}
			table = l.providers[name]
		}
		for _, step := range s.target.path[:len(s.target.path)-1] {
			inner := table.fields[step]
			if inner == nil || !inner.isTable() {
				inner = newTable(at)
				table.fields[step] = inner
			}
			table = inner
		}
		last := s.target.path[len(s.target.path)-1]
		if other := table.fields[last]; other != nil && other.at.variable != "" {
			l.fail(at.error("", "sets the same as "+other.at.variable+"; unset one of them", ""))
			continue
		}
		table.fields[last] = &node{at: at, value: s.value, fromText: true}
	}
}

// implicit declares a provider of which a file says nothing.
func (l *loader) implicit(name string, kind Kind, at place) {
	n := newTable(at)
	n.fields["type"] = &node{at: at, value: string(kind)}
	l.providers[name], l.kinds[name] = n, kind
}

// selections finds the providers that are selected. A backend that is selected, and
// of which nothing else is said, is there with its defaults. Nothing is ever taken
// in place of what is selected.
func (l *loader) selections(c *Config) {
	_, selected := l.read.places["server.persistence_backend"]
	if !selected && len(l.providers) == 0 && (c.Defaults.Addressable == "" || c.Defaults.Cluster == "") {
		l.implicit(string(DefaultKind), DefaultKind, place{file: l.root.at.file})
	}
	declared := slices.Sorted(maps.Keys(l.providers))
	l.selection("server.persistence_backend", &c.Server.PersistenceBackend)
	l.selection("defaults.addressable", &c.Defaults.Addressable)
	l.selection("defaults.cluster", &c.Defaults.Cluster)
	if c.Server.PersistenceBackend == "" && !l.read.failed["server.persistence_backend"] {
		switch {
		case len(declared) == 1:
			c.Server.PersistenceBackend = declared[0]
		case slices.Contains(declared, string(DefaultKind)):
			c.Server.PersistenceBackend = string(DefaultKind)
		case c.Defaults.Addressable == "" || c.Defaults.Cluster == "":
			if len(declared) > 0 {
				l.fail(l.root.at.error("server.persistence_backend", "is missing, and there are "+strings.Join(declared, ", ")+"; select one here or by "+BackendVariable, ""))
			}
			return
		}
	}
	for _, role := range []*string{&c.Defaults.Addressable, &c.Defaults.Cluster} {
		if *role == "" {
			*role = c.Server.PersistenceBackend
		}
	}
}

// selection puts the provider's name in place of what a section says.
func (l *loader) selection(path string, selected *string) {
	at, given := l.read.places[path]
	if !given || l.read.failed[path] {
		return
	}
	name, s, e := choose(*selected, l.kinds)
	if e != nil {
		l.read.failed[path] = true
		l.fail(at.error(path, e.Problem, e.Suggestion))
		*selected = ""
		return
	}
	if name == "" {
		name = string(s.Kind)
		l.implicit(name, s.Kind, at)
	}
	*selected = name
}

func (l *loader) provider(name, dataDir string) Backend {
	n, prefix := l.providers[name], ""
	kind := l.kinds[name]
	if own, e := ofKind(kind, l.kinds); e == nil && own == name {
		prefix = variablePrefix + variableName(string(kind)) + "_"
	}
	return l.backend(l.report("providers."+name+".", n, prefix), n, joinPath(dataDir, name))
}

// joinPath joins what is no path of the machine that reads, perhaps, with "/".
func joinPath(dir, name string) string { return strings.TrimSuffix(dir, "/") + "/" + name }

// places refuses two providers in one place, which would destroy each other's
// files, or find each other's locks.
func (l *loader) places(c *Config) {
	taken := map[string]string{}
	var visit func(path string, b Backend)
	visit = func(path string, b Backend) {
		var option string
		var dirs []string
		switch x := b.(type) {
		case Memory:
			if x.DiskBackup != nil {
				option, dirs = "disk_backup.path", []string{x.DiskBackup.Path}
			}
		case CowBTree:
			option, dirs = "data_dir", []string{x.DataDir}
		case LsmTree:
			option, dirs = "data_dir", []string{x.DataDir}
		case RocksDB:
			option, dirs = "data_dir", []string{x.DataDir}
		case Pebble:
			option, dirs = "data_dir", []string{x.DataDir}
		case Flash:
			option, dirs = "data_dir", x.AllPaths()
			if len(x.Paths) > 0 {
				option = "paths"
			}
		case Composite:
			visit(path+"primary.", x.Primary)
			visit(path+"backup.", x.Backup)
		}
		for _, dir := range dirs {
			if dir == "" {
				continue // reported as missing
			}
			other, twice := taken[clean(dir)]
			if twice && other != path+option {
				r := &report{path: path, at: l.root.at, read: l.read, errors: &l.errs}
				r.bad(option, "is "+quote(dir)+", as is "+other+"; each needs a place of its own", "")
			}
			taken[clean(dir)] = path + option
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		visit("providers."+name+".", c.Providers[name])
	}
}
