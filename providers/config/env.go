package config

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// BackendVariable is the environment variable that selects the backend.
const BackendVariable = "ORBIT_PERSISTENCE_BACKEND"

const variablePrefix = "ORBIT_"

// setting is one variable of the environment that is ours.
type setting struct {
	variable, value string
	target          target
}

// target is what a variable sets: an option of a section, or of the provider of a
// kind.
type target struct {
	section string
	kind    Kind
	path    []string
}

// variables are all names that are read, and the prefixes that are ours whatever
// follows.
var variables = sync.OnceValue(func() (known struct {
	targets  map[string]target
	prefixes []string
	ordered  []string
}) {
	known.targets = map[string]target{
		BackendVariable: {section: "server", path: []string{"persistence_backend"}},
	}
	add := func(prefix string, to target) {
		name := prefix + variableName(strings.Join(to.path, "_"))
		if _, taken := known.targets[name]; !taken {
			known.targets[name] = to
			known.ordered = append(known.ordered, name)
		}
	}
	known.ordered = append(known.ordered, BackendVariable)
	add("ORBIT_SERVER_", target{section: "server", path: []string{"data_dir"}})
	add("ORBIT_DEFAULTS_", target{section: "defaults", path: []string{"addressable"}})
	add("ORBIT_DEFAULTS_", target{section: "defaults", path: []string{"cluster"}})
	known.prefixes = []string{"ORBIT_SERVER_", "ORBIT_DEFAULTS_"}
	for _, s := range spellings {
		for _, name := range s.names() {
			prefix := variablePrefix + variableName(name) + "_"
			known.prefixes = append(known.prefixes, prefix)
			for _, path := range optionPaths(reflect.TypeOf(s.zero), s.Kind) {
				add(prefix, target{kind: s.Kind, path: path})
			}
		}
	}
	return known
})

// optionPaths lists the options of a struct in every spelling, those of the tables
// within it included.
func optionPaths(t reflect.Type, kind Kind) [][]string {
	var paths [][]string
	within := func(name string, inner [][]string) {
		for _, path := range inner {
			paths = append(paths, append([]string{name}, path...))
		}
	}
	for _, o := range optionsOf(t) {
		field := t.Field(o.index).Type
		switch field.Kind() {
		case reflect.Pointer:
			within(o.name(), optionPaths(field.Elem(), ""))
		case reflect.Interface:
			within(o.name(), [][]string{{"type"}})
			for _, s := range spellings {
				if s.Kind != KindComposite {
					within(o.name(), optionPaths(reflect.TypeOf(s.zero), s.Kind))
				}
			}
		default:
			for _, s := range o.spellings {
				paths = append(paths, []string{s.name})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(refusals[kind])) {
		paths = append(paths, []string{name})
	}
	return paths
}

// variableName is an option or a backend as it stands in a variable's name.
func variableName(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }

// Kubernetes puts such variables into every pod for a service named orbit-redis.
var serviceVariable = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)?)$`)

// parseEnvironment picks the variables that are ours out of an environment in the
// form of os.Environ. A variable of another program that begins with ORBIT_ is left
// alone, unless it reads like a slip of one of ours.
func parseEnvironment(environ []string) ([]setting, []*Error) {
	known := variables()
	var settings []setting
	var errs []*Error
	seen := map[string]bool{}
	// Of a name that is there twice the last counts, as for os/exec.
	for _, pair := range slices.Backward(environ) {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || !strings.HasPrefix(name, variablePrefix) || seen[name] {
			continue
		}
		seen[name] = true
		at := place{variable: name}
		if to, ok := known.targets[name]; ok {
			if !utf8.ValidString(value) {
				errs = append(errs, at.error("", "is not UTF-8", ""))
				continue
			}
			settings = append(settings, setting{variable: name, value: value, target: to})
			continue
		}
		i := slices.IndexFunc(known.prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		suggestion := nearestVariable(name, known.ordered, i >= 0)
		switch {
		case serviceVariable.MatchString(name):
		case suggestion != "":
			errs = append(errs, at.error("", "unknown variable", suggestion))
		case i >= 0:
			whose := strings.ToLower(strings.Trim(strings.TrimPrefix(known.prefixes[i], variablePrefix), "_"))
			errs = append(errs, at.error("", "unknown variable of "+whose+"; OPTIONS.md of package config lists them", ""))
		}
	}
	slices.SortFunc(settings, func(a, b setting) int { return strings.Compare(a.variable, b.variable) })
	return settings, errs
}

// nearestVariable is nearest for variables. Where nothing tells that the variable is
// meant for us, it must be two letters away at most.
func nearestVariable(name string, all []string, ours bool) string {
	best, least := "", 3
	if ours {
		least = 1 + max(2, (len(name)-len(variablePrefix))/4)
	}
	for _, candidate := range all {
		if d := distance(name, candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}
