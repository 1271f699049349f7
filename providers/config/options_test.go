package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write OPTIONS.md anew")

// TestOptionsAreDocumented holds OPTIONS.md to the structs, their tags and their
// docstrings.
func TestOptionsAreDocumented(t *testing.T) {
	got := optionsPage(t)
	if *update {
		if err := os.WriteFile("OPTIONS.md", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("OPTIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("OPTIONS.md does not say what the structs say; run go test ./providers/config -run Options -update")
	}
	for _, s := range Spellings() { // the page cannot pass by being empty
		for _, o := range optionsOf(reflect.TypeOf(s.zero)) {
			if !strings.Contains(got, "| `"+o.name()+"`") {
				t.Errorf("%s.%s is not in the page", s.Kind, o.name())
			}
		}
	}
}

// TestEveryOptionIsReadFromEverywhere sets each option of each backend in TOML, JSON
// and the environment, in each spelling, to what it is not by default, and looks
// for it in the struct.
func TestEveryOptionIsReadFromEverywhere(t *testing.T) {
	n := 0
	for _, s := range Spellings() {
		base := example(t, s.Kind)
		typ := reflect.TypeOf(s.zero)
		for _, o := range optionsOf(typ) {
			if kind := typ.Field(o.index).Type.Kind(); kind == reflect.Pointer || kind == reflect.Interface {
				continue // tables, which the examples set
			}
			for _, spelling := range o.spellings {
				value := otherValue(typ.Field(o.index).Type, o, spelling)
				for how, environ := range map[string][]string{
					"environment": {"ORBIT_" + variableName(string(s.Kind)) + "_" + variableName(spelling.name) + "=" + strings.Trim(value, `"[]`)},
					"toml":        nil,
				} {
					text := base
					if how == "toml" {
						text = withOption(base, o, spelling.name, value)
					}
					c, err := Parse("o.toml", []byte(text), environ)
					// A value that some other option forbids was read too, if the mistake is
					// of the check behind the reading.
					for _, e := range Errors(err) {
						if strings.Contains(e.Problem, "unknown") || strings.Contains(e.Problem, "must be") || strings.Contains(e.Problem, "spelling") {
							t.Errorf("%s.%s from %s = %s: %v", s.Kind, spelling.name, how, value, e)
						}
					}
					if err == nil {
						n++
						v := reflect.ValueOf(c.Providers[string(s.Kind)])
						def := reflect.New(typ)
						setDefaults(def.Interface())
						if reflect.DeepEqual(v.Field(o.index).Interface(), def.Elem().Field(o.index).Interface()) {
							t.Errorf("%s.%s from %s = %s is the default still", s.Kind, spelling.name, how, value)
						}
					}
				}
			}
		}
	}
	if n < 200 {
		t.Errorf("%d values were read", n)
	}
}

func example(t *testing.T, kind Kind) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../examples/config", string(kind)+".toml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withOption sets an option in an example's first table, in place of what it says.
func withOption(text string, o option, name, value string) string {
	end := len(text)
	if i := strings.Index(text, "\n[providers."); i >= 0 {
		if j := strings.Index(text[i+1:], "\n["); j >= 0 {
			end = i + 1 + j + 1
		}
	}
	var b strings.Builder
	for line := range strings.Lines(text[:end]) {
		word, _, _ := strings.Cut(line, " ")
		if !slices.ContainsFunc(o.spellings, func(s optionSpelling) bool { return s.name == word }) {
			b.WriteString(line)
		}
	}
	return b.String() + name + " = " + value + "\n" + text[end:]
}

// otherValue is a value in TOML that the option takes and that is not its default.
func otherValue(t reflect.Type, o option, s optionSpelling) string {
	switch {
	case s.unit == unitRate:
		return "0.05"
	case t == reflect.TypeFor[Bytes]():
		if o.most == "1MiB" {
			return `"8KiB"`
		}
		return `"8MiB"`
	case t == reflect.TypeFor[time.Duration]():
		return "7"
	case t == reflect.TypeFor[[]string]():
		return `["https://other:1"]`
	case t.Kind() == reflect.Bool:
		return fmt.Sprint(o.byDefault != "true")
	case len(o.words) > 0:
		for _, word := range o.words {
			if word != o.byDefault {
				return `"` + word + `"`
			}
		}
	case t.Kind() == reflect.String, t == reflect.TypeFor[Secret]():
		switch o.name() {
		case "endpoint":
			return `"https://other"`
		case "url":
			return `"redis://other:1"`
		case "customer_key":
			return `"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="`
		}
		return `"other"`
	}
	return "12"
}

// optionsPage is OPTIONS.md.
func optionsPage(t *testing.T) string {
	t.Helper()
	docs := docstrings(t)
	var b strings.Builder
	b.WriteString(`# Options

Made from the structs of this package by ` + "`go test ./providers/config -run Options -update`" + `; a test
holds it to them. How they are written and where they are read stands in the
[package comment](doc.go). The spellings in the second column are read too.

## [server]

`)
	writeTable(t, &b, docs, reflect.TypeFor[Server](), "ORBIT_SERVER_", map[string]string{"persistence_backend": BackendVariable})
	b.WriteString("\n## [defaults]\n\n")
	writeTable(t, &b, docs, reflect.TypeFor[Defaults](), "ORBIT_DEFAULTS_", nil)
	b.WriteString("\n## Backends\n\nEach name is read wherever a backend is named.\n\n| selector | type | CLI | folder |\n|---|---|---|---|\n")
	for _, s := range Spellings() {
		fmt.Fprintf(&b, "| [`%s`](#%s) | `%s` | `%s` | `%s` |\n", s.Kind, s.Kind, s.Type, s.CLI, s.Folder)
	}
	for _, s := range Spellings() {
		typ := reflect.TypeOf(s.zero)
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", s.Kind, docs[typ.Name()])
		prefix := "ORBIT_" + variableName(string(s.Kind)) + "_"
		writeTable(t, &b, docs, typ, prefix, nil)
		for _, o := range optionsOf(typ) {
			if field := typ.Field(o.index).Type; field.Kind() == reflect.Pointer {
				fmt.Fprintf(&b, "\nThe table `%s`:\n\n", o.name())
				writeTable(t, &b, docs, field.Elem(), prefix+variableName(o.name())+"_", nil)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(refusals[s.Kind])) {
			r := refusals[s.Kind][name]
			fmt.Fprintf(&b, "\n`%s` is read as `%v` only: %s.\n", name, r.only, r.reason)
		}
	}
	return b.String()
}

func writeTable(t *testing.T, b *strings.Builder, docs map[string]string, typ reflect.Type, prefix string, variables map[string]string) {
	t.Helper()
	b.WriteString("| option | also | default | takes | variable | |\n|---|---|---|---|---|---|\n")
	for _, o := range optionsOf(typ) {
		field := typ.Field(o.index)
		doc := docs[typ.Name()+"."+field.Name]
		if doc == "" {
			t.Errorf("%s.%s has no docstring", typ.Name(), field.Name)
		}
		var also []string
		for _, s := range o.spellings[1:] {
			text := "`" + s.name + "`"
			switch {
			case field.Type == reflect.TypeFor[Bytes]() && s.unit != o.spellings[0].unit:
				text += " in " + map[string]string{"": "bytes", "MiB": "MiB"}[s.unit]
			case s.unit == unitRate:
				text += ", a rate"
			}
			also = append(also, text)
		}
		byDefault := ""
		switch {
		case o.required && o.byDefault == "" && variables == nil:
			byDefault = "required"
		case o.byDefault != "":
			byDefault = "`" + o.byDefault + "`"
		}
		variable := prefix + variableName(o.name())
		if v, ok := variables[o.name()]; ok {
			variable = v
		}
		variable = "`" + variable + "`"
		switch field.Type.Kind() {
		case reflect.Pointer, reflect.Interface:
			variable = "`" + prefix + variableName(o.name()) + "_…`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", o.name(), strings.Join(also, ", "), byDefault, takes(field.Type, o), variable, withOptionNames(typ, doc))
	}
}

// withOptionNames writes the names of fields in a docstring as the options' names.
func withOptionNames(typ reflect.Type, doc string) string {
	words := strings.Fields(doc)
	for i, word := range words {
		bare := strings.TrimRight(word, ".,;:")
		if field, ok := typ.FieldByName(bare); ok {
			words[i] = "`" + field.Tag.Get("name") + "`" + word[len(bare):]
		}
	}
	return strings.ReplaceAll(strings.Join(words, " "), "|", `\|`)
}

func takes(t reflect.Type, o option) string {
	low := map[bool]string{true: o.least, false: "0"}[o.least != ""]
	span := func(what string) string {
		if o.most == "" {
			return what + " from " + low
		}
		return what + ", " + low + " to " + o.most
	}
	switch {
	case t == reflect.TypeFor[Bytes]():
		return span(map[string]string{"": "a size in bytes", "MiB": "a size in MiB"}[o.spellings[0].unit])
	case t == reflect.TypeFor[time.Duration]():
		return span("a duration in seconds")
	case t == reflect.TypeFor[Secret]():
		return "a secret"
	case t == reflect.TypeFor[[]string]():
		return "a list of strings"
	case t.Kind() == reflect.Pointer:
		return "a table"
	case t.Kind() == reflect.Interface:
		return "a table with a type"
	case t.Kind() == reflect.Bool:
		return "true, false"
	case len(o.words) > 0:
		words := strings.Join(o.words, ", ")
		if o.whenTrue != "" {
			words += ", true, false"
		}
		return words
	case t.Kind() == reflect.String:
		return "a string"
	}
	return span("a number")
}

// docstrings maps "Type" and "Type.Field" to what is written above them.
func docstrings(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range d.Specs {
				s, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				docs[s.Name.Name] = oneLine(d.Doc)
				if fields, ok := s.Type.(*ast.StructType); ok {
					for _, f := range fields.Fields.List {
						for _, name := range f.Names {
							docs[s.Name.Name+"."+name.Name] = oneLine(f.Doc)
						}
					}
				}
			}
		}
	}
	return docs
}

func oneLine(doc *ast.CommentGroup) string { return strings.Join(strings.Fields(doc.Text()), " ") }
