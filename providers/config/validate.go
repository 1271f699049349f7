package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// report gathers the mistakes of one table, with the places where its options
// were read.
type report struct {
	path   string // of the table, with a dot at its end unless it is empty
	at     place  // of the table
	prefix string // of the environment variables that reach the table; may be empty
	read   *readOptions
	errors *[]*Error
}

// readOptions is what is known of options that were read, by their path.
type readOptions struct {
	places  map[string]place
	written map[string]string // the spelling, where it is not the name
	failed  map[string]bool   // was reported already
}

func newReadOptions() *readOptions {
	return &readOptions{places: map[string]place{}, written: map[string]string{}, failed: map[string]bool{}}
}

// sub is the report of a table within the table.
func (r *report) sub(name string) *report {
	s := *r
	s.path = r.path + name + "."
	if at, ok := r.read.places[r.path+name]; ok {
		s.at = at
	}
	if r.prefix != "" {
		s.prefix = r.prefix + variableName(name) + "_"
	}
	return &s
}

// bad reports a mistake of an option, once.
func (r *report) bad(option, problem, suggestion string) {
	path := r.path + option
	if r.read.failed[path] {
		return
	}
	r.read.failed[path] = true
	at, ok := r.read.places[path]
	if !ok {
		at = r.at
	}
	if written, ok := r.read.written[path]; ok {
		path = r.path + written
	}
	*r.errors = append(*r.errors, at.error(path, problem, suggestion))
}

// cameWith notes that an option was read where another one was.
func (r *report) cameWith(option, other string) {
	if at, ok := r.read.places[r.path+other]; ok {
		r.read.places[r.path+option] = at
	}
}

// unsupported reports an option that no engine can honour, with the reason.
func (r *report) unsupported(option, reason string) {
	before := len(*r.errors)
	r.bad(option, reason, "")
	for _, e := range (*r.errors)[before:] {
		e.unsupported = true
	}
}

// validateAlone is Validate of a backend that was made by a program.
func validateAlone(b Backend) error {
	var errs []*Error
	(&report{read: newReadOptions(), errors: &errs}).validate(reflect.ValueOf(b))
	return join(errs)
}

// validate reports the mistakes of a struct: those that its tags tell, and those
// that its own check finds.
func (r *report) validate(v reflect.Value) {
	for _, o := range optionsOf(v.Type()) {
		field := v.Field(o.index)
		if o.required && (field.IsZero() || field.Kind() == reflect.Slice && field.Len() == 0) {
			problem := "is missing"
			if r.prefix != "" && field.Kind() != reflect.Interface {
				problem += "; set it, or " + r.prefix + variableName(o.name())
			}
			r.bad(o.name(), problem, "")
			continue
		}
		switch field.Kind() {
		case reflect.Pointer:
			if !field.IsNil() {
				r.sub(o.name()).validate(field.Elem())
			}
		case reflect.Interface:
			switch {
			case field.IsNil():
			case field.Elem().Kind() != reflect.Struct:
				r.bad(o.name(), "must be a struct of package config, not a pointer", "")
			case field.Elem().Type() == reflect.TypeFor[Composite]():
				r.unsupported(o.name(), noComposite)
			default:
				r.sub(o.name()).validate(field.Elem())
			}
		case reflect.Int, reflect.Int64:
			if problem := o.outOfRange(field); problem != "" {
				r.bad(o.name(), problem, "")
			}
		case reflect.String:
			if o.words != nil && !slices.Contains(o.words, field.String()) {
				r.bad(o.name(), o.notAWord(field.String()), nearest(field.String(), o.words))
			}
		}
	}
	if b, ok := v.Interface().(Backend); ok {
		b.check(r)
	}
}

// outOfRange says which range a number, size or duration is not in.
func (o option) outOfRange(field reflect.Value) string {
	bound := func(text string, otherwise int64) (int64, string) {
		if text == "" {
			return otherwise, display(field.Type(), otherwise)
		}
		v := reflect.New(field.Type()).Elem()
		o.set(v, text, true, "")
		return v.Int(), display(field.Type(), v.Int())
	}
	least, leastText := bound(o.least, 0)
	most, mostText := bound(o.most, 1<<63-1)
	n := field.Int()
	switch {
	case n >= least && n <= most:
		return ""
	case o.most == "" && least == 0:
		return "must not be negative"
	case o.most == "":
		return fmt.Sprintf("must be at least %s, not %s", leastText, display(field.Type(), n))
	}
	return fmt.Sprintf("must be from %s to %s, not %s", leastText, mostText, display(field.Type(), n))
}

// display writes a number as its type is read.
func display(t reflect.Type, n int64) string {
	switch t {
	case reflect.TypeFor[Bytes]():
		return Bytes(n).String()
	case reflect.TypeFor[time.Duration]():
		return durationText(time.Duration(n))
	}
	return strconv.FormatInt(n, 10)
}

// clean is a path in the form in which two are compared.
func clean(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return filepath.Clean(path)
}
