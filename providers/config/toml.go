package config

import (
	"errors"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// parseTOML reads TOML into a tree that knows where everything stood: the values
// come from the library's decoder, the places from its parser.
func parseTOML(file string, text []byte) (*node, *Error) {
	var values map[string]any
	if err := toml.Unmarshal(text, &values); err != nil {
		e := place{file: file}.error("", tomlProblem(err), "")
		var at *toml.DecodeError
		if errors.As(err, &at) {
			e.Line, e.Column = at.Position()
		}
		return nil, e
	}
	places := tomlPlaces(file, text)
	return tomlTable(place{file: file, line: 1, column: 1}, "", values, places, 0)
}

// What the library shows of the text where it fails could be part of a secret.
var tomlShows = regexp.MustCompile(` ?\(?U\+[0-9A-F]+( '.+')?\)?|:? ?(strconv|parsing).*$`)

func tomlProblem(err error) string {
	problem := strings.TrimPrefix(err.Error(), "toml: ")
	switch {
	case strings.Contains(problem, "at start of value"), strings.Contains(problem, "keyword"), strings.Contains(problem, "expected digit"):
		return "no value of TOML begins like this; put strings in quotes"
	case strings.HasPrefix(problem, "expected newline but got"):
		return "the line must end after the value; put strings in quotes"
	}
	return tomlShows.ReplaceAllString(problem, "")
}

// tomlPlaces maps the path of every key, joined by NUL, to where it stands first.
func tomlPlaces(file string, text []byte) map[string]place {
	places := map[string]place{}
	source := newSource(file, text)
	var p unstable.Parser
	p.Reset(text)
	var keyValue func(prefix string, n *unstable.Node)
	// key notes the places of a key's parts, and returns its path.
	key := func(prefix string, parts unstable.Iterator) string {
		for depth := 0; parts.Next() && depth <= maxDepth; depth++ { // what is deeper is refused
			part := parts.Node()
			prefix += "\x00" + string(part.Data)
			if _, seen := places[prefix]; !seen {
				places[prefix] = source.at(int(part.Raw.Offset))
			}
		}
		return prefix
	}
	keyValue = func(prefix string, n *unstable.Node) {
		path := key(prefix, n.Key())
		if n.Value().Kind == unstable.InlineTable {
			for inner := n.Value().Children(); inner.Next(); {
				keyValue(path, inner.Node())
			}
		}
	}
	section := ""
	for p.NextExpression() {
		switch n := p.Expression(); n.Kind {
		case unstable.Table, unstable.ArrayTable:
			section = key("", n.Key())
		case unstable.KeyValue:
			keyValue(section, n)
		}
	}
	return places
}

func tomlTable(at place, path string, values map[string]any, places map[string]place, depth int) (*node, *Error) {
	if depth > maxDepth {
		return nil, at.error("", "tables are nested too deep", "")
	}
	t := newTable(at)
	for name, value := range values {
		inner := path + "\x00" + name
		where, ok := places[inner]
		if !ok {
			where = at
		}
		n := &node{at: where, value: value}
		switch x := value.(type) {
		case map[string]any:
			sub, err := tomlTable(where, inner, x, places, depth+1)
			if err != nil {
				return nil, err
			}
			n = sub
		case []any:
			n.value = listOf(x)
		}
		t.fields[name] = n
	}
	return t, nil
}
