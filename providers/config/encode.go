package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// String is TOML.
func (c *Config) String() string { return c.TOML() }

// TOML returns the configuration as a file that Read takes, defaults included, with
// Hidden in the place of each secret.
func (c *Config) TOML() string { return c.toml(false) }

// Explain is TOML with a comment behind each option that says where it is from: a
// place in a file, a variable, or "default".
func (c *Config) Explain() string { return c.toml(true) }

// MarshalJSON returns the configuration as a file that Read takes, defaults
// included, with Hidden in the place of each secret.
func (c *Config) MarshalJSON() ([]byte, error) {
	all := map[string]any{}
	for _, section := range c.sections() {
		at := all
		for _, step := range section.path {
			inner, ok := at[step].(map[string]any)
			if !ok {
				inner = map[string]any{}
				at[step] = inner
			}
			at = inner
		}
		for _, o := range section.options {
			at[o.name] = o.value
		}
	}
	return json.Marshal(all)
}

// section is a table as it is written.
type section struct {
	path    []string
	options []writtenOption
}

type writtenOption struct {
	name  string
	value any // string, bool, int64 or []string
}

// sections lists the tables in the order in which they are written.
func (c *Config) sections() []section {
	all := []section{
		{[]string{"server"}, writtenOptions(reflect.ValueOf(c.Server))},
		{[]string{"defaults"}, writtenOptions(reflect.ValueOf(c.Defaults))},
	}
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		all = append(all, backendSections([]string{"providers", name}, c.Providers[name])...)
	}
	return all
}

func backendSections(path []string, b Backend) []section {
	v := reflect.ValueOf(b)
	options := append([]writtenOption{{"type", b.Kind().spelling().Type}}, writtenOptions(v)...)
	all := []section{{path, options}}
	for _, o := range optionsOf(v.Type()) {
		field := v.Field(o.index)
		inner := append(slices.Clone(path), o.name())
		switch {
		case field.Kind() == reflect.Pointer && !field.IsNil():
			all = append(all, section{inner, writtenOptions(field.Elem())})
		case field.Kind() == reflect.Interface && !field.IsNil():
			all = append(all, backendSections(inner, field.Interface().(Backend))...)
		}
	}
	return all
}

// writtenOptions lists the options of a struct that are no tables. What is empty,
// and by default is, is left out.
func writtenOptions(v reflect.Value) []writtenOption {
	var options []writtenOption
	for _, o := range optionsOf(v.Type()) {
		field := v.Field(o.index)
		var value any
		switch x := field.Interface().(type) {
		case Secret:
			value = x.String()
		case Bytes:
			value = int64(x)
			if unit, _, _ := parseBytes("1"+o.spellings[0].unit, 1); x%unit == 0 {
				value = int64(x / unit)
			} else {
				value = x.String()
			}
		case time.Duration:
			value = durationText(x)
			if x%time.Second == 0 {
				value = int64(x / time.Second)
			}
		case []string:
			value = x
			if len(x) == 0 {
				value = ""
			}
		default:
			switch field.Kind() {
			case reflect.String:
				value = field.String()
			case reflect.Bool:
				value = field.Bool()
			case reflect.Int, reflect.Int64:
				value = field.Int()
			default:
				continue
			}
		}
		if value == "" && o.byDefault == "" {
			continue
		}
		options = append(options, writtenOption{o.name(), value})
	}
	return options
}

// durationText writes a duration shortly: "30s", not "30.000s"; whole seconds as
// such, so that it reads as the option is written.
func durationText(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return d.String()
}

func (c *Config) toml(explain bool) string {
	var b strings.Builder
	for i, s := range c.sections() {
		if len(s.options) == 0 {
			continue
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		path := strings.Join(s.path, ".")
		fmt.Fprintf(&b, "[%s]\n", path)
		for _, o := range s.options {
			line := o.name + " = " + tomlValue(o.value)
			if explain {
				origin, ok := c.origins[path+"."+o.name]
				if !ok || origin == "" {
					origin = "default"
				}
				line = fmt.Sprintf("%-44s # %s", line, strings.ToValidUTF8(strings.Map(printable, origin), "?"))
			}
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// printable keeps the name of a file from ending a comment.
func printable(r rune) rune {
	if !strconv.IsPrint(r) {
		return '?'
	}
	return r
}

// tomlValue writes a value; TOML's strings are JSON's, but for DEL.
func tomlValue(value any) string {
	if items, ok := value.([]string); ok {
		var written []string
		for _, item := range items {
			written = append(written, tomlValue(item))
		}
		return "[" + strings.Join(written, ", ") + "]"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic(fmt.Sprintf("config: %T does not encode: %v", value, err)) // only the types of writtenOption come here
	}
	return strings.ReplaceAll(strings.TrimSpace(b.String()), "\x7f", `\u007f`)
}
