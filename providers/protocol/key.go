package protocol

import (
	"fmt"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
)

// A key is a kind and names with colons between them: row:users:17. The last name stands
// as it is; in the others, a colon is %3A and a percent sign %25, so that no two lists of
// names are one key.

var escape = strings.NewReplacer("%", "%25", ":", "%3A")

// keyOf returns the key of a kind and names, ErrInvalid if one of them is empty.
func keyOf(kind string, names ...string) (string, error) {
	b := kind
	for i, name := range names {
		if name == "" {
			return "", fmt.Errorf("%w: %s:%s: a name has at least one letter", engine.ErrInvalid, kind, strings.Join(names, ":"))
		}
		if i < len(names)-1 {
			name = escape.Replace(name)
		}
		b += ":" + name
	}
	return b, nil
}

// prefixOf returns what the keys of a kind begin with whose first names are these.
func prefixOf(kind string, names ...string) (string, error) {
	key, err := keyOf(kind, append(names, "x")...)
	return strings.TrimSuffix(key, "x"), err
}

// firstName returns the first name of the rest of a key, and what follows it. What keyOf
// does not write is ErrCorrupt.
func firstName(rest string) (name, then string, err error) {
	escaped, then, ok := strings.Cut(rest, ":")
	name = strings.NewReplacer("%3A", ":", "%25", "%").Replace(escaped)
	if !ok || name == "" || escape.Replace(name) != escaped {
		return "", "", fmt.Errorf("%w: %s is no name and a colon", engine.ErrCorrupt, engine.QuoteKey([]byte(rest)))
	}
	return name, then, nil
}
