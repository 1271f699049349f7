package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// decoder makes structs of a tree.
type decoder struct {
	read *readOptions
	errs []*Error
}

func (d *decoder) report(path string, n *node, prefix string) *report {
	return &report{path: path, at: n.at, prefix: prefix, read: d.read, errors: &d.errs}
}

// backend decodes a provider's table and validates it; nil if its type is not
// known. dataDir is where a local backend lies that is not told where.
func (d *decoder) backend(r *report, n *node, dataDir string) Backend {
	s, ok := d.kind(r, n)
	if !ok {
		return nil
	}
	b := d.decode(r, n, s, dataDir)
	r.validate(reflect.ValueOf(b))
	return b
}

// kind reads a table's type.
func (d *decoder) kind(r *report, n *node) (Spelling, bool) {
	typ, ok := n.fields["type"]
	if !ok {
		problem := `is missing; name a backend, as type = "LsmTree"`
		if s, known := lookUpKind(strings.TrimSuffix(r.path[strings.LastIndexByte(strings.TrimSuffix(r.path, "."), '.')+1:], ".")); known {
			problem = "is missing; write type = " + quote(s.Type)
		}
		r.bad("type", problem, "")
		return Spelling{}, false
	}
	d.read.places[r.path+"type"] = typ.at
	name, ok := typ.value.(string)
	if !ok {
		r.bad("type", mustBe("a string in quotes", typ.content()), "")
		return Spelling{}, false
	}
	s, ok := lookUpKind(name)
	if !ok {
		e := unknownKind(name)
		r.bad("type", e.Problem, e.Suggestion)
	}
	return s, ok
}

// decode fills a backend's struct with its defaults and with what the table says.
func (d *decoder) decode(r *report, n *node, s Spelling, dataDir string) Backend {
	v := reflect.New(reflect.TypeOf(s.zero))
	setDefaults(v.Interface())
	if field := v.Elem().FieldByName("DataDir"); field.IsValid() {
		field.SetString(dataDir)
	}
	d.fill(r, v.Elem(), n, string(s.Kind), refusals[s.Kind], dataDir)
	if x, ok := v.Interface().(interface{ normalise(*report) }); ok {
		x.normalise(r)
	}
	return v.Elem().Interface().(Backend)
}

// fill sets the fields of a struct that a table names, and reports every name that
// the struct does not have.
func (d *decoder) fill(r *report, v reflect.Value, n *node, what string, refused map[string]refusal, dataDir string) {
	known := map[string]bool{"type": what != ""}
	var names []string
	for _, o := range optionsOf(v.Type()) {
		for _, s := range o.spellings {
			known[s.name] = true
			names = append(names, s.name)
		}
		value, spelling := d.pick(r, n, o)
		if value == nil {
			continue
		}
		path := r.path + o.name()
		d.read.places[path] = value.at
		if spelling.name != o.name() {
			d.read.written[path] = spelling.name
		}
		d.fillOption(r, v.Field(o.index), o, spelling, value, dataDir)
	}
	for _, name := range slices.Sorted(maps.Keys(n.fields)) {
		if known[name] {
			continue
		}
		d.read.places[r.path+name] = n.fields[name].at
		if refusal, ok := refused[name]; ok {
			refusal.apply(r, name, n.fields[name])
			continue
		}
		whose := what
		if whose == "" {
			whose = strings.TrimSuffix(r.path, ".")
		}
		suggestion := nearest(name, names)
		problem := "unknown option of " + whose
		if suggestion == "" {
			problem += "; it has " + strings.Join(optionNames(v.Type()), ", ")
		}
		r.bad(name, problem, suggestion)
	}
}

func optionNames(t reflect.Type) []string {
	var names []string
	for _, o := range optionsOf(t) {
		names = append(names, o.name())
	}
	return names
}

// pick returns what a table says of an option, in any of its spellings. The
// environment goes before the file; two at one level are a mistake.
func (d *decoder) pick(r *report, n *node, o option) (*node, optionSpelling) {
	var found *node
	var as optionSpelling
	for _, s := range o.spellings {
		value, ok := n.fields[s.name]
		switch {
		case !ok:
		case found == nil || value.fromText && !found.fromText:
			found, as = value, s
		case value.fromText == found.fromText:
			d.read.places[r.path+s.name] = value.at
			r.bad(s.name, "is another spelling of "+as.name+", which is set too; set one of them", "")
		}
	}
	return found, as
}

func (d *decoder) fillOption(r *report, field reflect.Value, o option, s optionSpelling, value *node, dataDir string) {
	switch field.Kind() {
	case reflect.Pointer: // a table with options of its own
		if !value.isTable() {
			r.bad(o.name(), mustBe("a table", value.content()), "")
			return
		}
		inner := reflect.New(field.Type().Elem())
		setDefaults(inner.Interface())
		d.fill(r.sub(o.name()), inner.Elem(), value, o.name(), nil, dataDir)
		field.Set(inner)
	case reflect.Interface: // a backend within a composite
		if !value.isTable() {
			r.bad(o.name(), mustBe("a table", value.content()), "")
			return
		}
		sub := r.sub(o.name())
		kind, ok := d.kind(sub, value)
		switch {
		case !ok:
			d.read.failed[r.path+o.name()] = true
		case kind.Kind == KindComposite:
			r.unsupported(o.name(), noComposite)
		default:
			field.Set(reflect.ValueOf(d.decode(sub, value, kind, joinPath(dataDir, o.name()))))
		}
	default:
		if problem, suggestion := o.set(field, value.content(), value.fromText, s.unit); problem != "" {
			r.bad(o.name(), problem, suggestion)
		}
	}
}

// refusal is an option of the first implementation that no engine can honour in
// any setting but one.
type refusal struct {
	only   bool // the setting that is as it is anyway
	reason string
}

var refusals = map[Kind]map[string]refusal{
	KindRocksDB: {"enable_wal": {true, "without its log RocksDB loses acknowledged writes that are no suffix of the commit order, which no durability class allows; for speed choose durability = \"memory\""}},
	KindLsmTree: {"enable_compaction": {true, "without compaction nothing that was deleted or overwritten is ever reclaimed, and each read searches every table; to have less of it raise compaction_threshold"}},
}

func (f refusal) apply(r *report, name string, n *node) {
	value, ok := n.value.(bool)
	if text, isText := n.value.(string); n.fromText && isText {
		value, ok = text == "true", text == "true" || text == "false"
	}
	switch {
	case !ok:
		r.bad(name, mustBe("true or false", given(n.content(), n.fromText)), "")
	case value != f.only:
		r.unsupported(name, f.reason)
	}
}
