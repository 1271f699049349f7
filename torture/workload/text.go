package workload

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
)

var kindNames = [...]string{Write: "batch", Sync: "sync", Snapshot: "snapshot", Checkpoint: "checkpoint", Compact: "compact", Reopen: "reopen", Kill: "kill"}

// String returns the word for it; that of a Write is "batch".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("op(%d)", uint8(k))
}

// String returns the operation as a line of text, without its end.
func (o Op) String() string {
	if o.Kind == Kill && o.Calls > 0 {
		return o.Kind.String() + " " + strconv.Itoa(o.Calls)
	}
	if o.Kind != Write {
		return o.Kind.String()
	}
	if len(o.Changes) == 1 {
		name, arguments, _ := strings.Cut(o.Changes[0].String(), " ")
		return name + " " + o.Durability.String() + " " + arguments
	}
	var changes []string
	for _, c := range o.Changes {
		changes = append(changes, c.String())
	}
	return "batch " + o.Durability.String() + " " + strings.Join(changes, "; ")
}

// String returns the change as it stands in the line of a batch.
func (c Change) String() string {
	s := c.Kind.String() + " " + quote(c.Key)
	switch c.Kind {
	case engine.OpPut:
		s += " " + strconv.Itoa(c.Size)
	case engine.OpDeleteRange:
		s += " " + quote(c.Upper)
	}
	return s
}

// quote returns a key as one word.
func quote(key string) string {
	if key != "" && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" {
		return key
	}
	return strconv.QuoteToASCII(key)
}

// String returns the text form, which Parse reads.
func (w Workload) String() string {
	var b strings.Builder
	for _, o := range w {
		b.WriteString(o.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Parse reads a workload. Empty lines, and lines that start with "#", are
// skipped. Its error is engine.ErrInvalid with the number of the line.
func Parse(text string) (Workload, error) {
	var w Workload
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		o, err := parseOp(line)
		if err != nil {
			return nil, fmt.Errorf("%w: workload, line %d: %q: %v", engine.ErrInvalid, number, line, err)
		}
		w = append(w, o)
	}
	return w, nil
}

func parseOp(line string) (Op, error) {
	word, rest, _ := strings.Cut(line, " ")
	for k := Sync; int(k) < len(kindNames); k++ {
		if word == kindNames[k] {
			if k == Kill && rest != "" {
				calls, err := strconv.ParseUint(rest, 10, 16)
				if err != nil || calls == 0 {
					return Op{}, fmt.Errorf("kill takes the number of a call, from 1")
				}
				return Op{Kind: Kill, Calls: int(calls)}, nil
			}
			if rest != "" {
				return Op{}, fmt.Errorf("%s takes no arguments", word)
			}
			return Op{Kind: k}, nil
		}
	}
	class, rest, _ := strings.Cut(rest, " ")
	d, err := engine.ParseDurability(class)
	if err != nil {
		return Op{}, err
	}
	o := Op{Kind: Write, Durability: d}
	if word != "batch" {
		rest = word + " " + rest
	}
	for rest != "" {
		var c Change
		if c, rest, err = parseChange(rest); err != nil {
			return Op{}, err
		}
		o.Changes = append(o.Changes, c)
	}
	if len(o.Changes) == 0 || word != "batch" && len(o.Changes) > 1 {
		return Op{}, fmt.Errorf("%s with %d changes", word, len(o.Changes))
	}
	return o, nil
}

// parseChange reads a change, and the semicolon behind it if there is one.
func parseChange(s string) (c Change, rest string, err error) {
	word, rest, _ := strings.Cut(s, " ")
	switch word {
	case "put":
		c.Kind = engine.OpPut
	case "delete":
		c.Kind = engine.OpDelete
	case "delete-range":
		c.Kind = engine.OpDeleteRange
	default:
		return c, "", fmt.Errorf("unknown operation %q", word)
	}
	if c.Key, rest, err = parseKey(rest); err != nil {
		return c, "", err
	}
	switch c.Kind {
	case engine.OpDeleteRange:
		if c.Upper, rest, err = parseKey(rest); err != nil {
			return c, "", err
		}
	case engine.OpPut:
		var size string
		size, rest = cutWord(rest)
		if c.Size, err = strconv.Atoi(size); err != nil || c.Size < 0 || c.Size > engine.MaxValueBytes {
			return c, "", fmt.Errorf("bad size %q", size)
		}
	}
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return c, "", nil
	}
	after, found := strings.CutPrefix(rest, ";")
	after = strings.TrimSpace(after)
	if !found || after == "" {
		return c, "", fmt.Errorf("unexpected %q", rest)
	}
	return c, after, nil
}

// cutWord cuts s behind its first word.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, " ")
	if i := strings.IndexAny(s, " ;"); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

func parseKey(s string) (key, rest string, err error) {
	s = strings.TrimLeft(s, " ")
	if strings.HasPrefix(s, `"`) {
		var quoted string
		if quoted, err = strconv.QuotedPrefix(s); err != nil {
			return "", "", fmt.Errorf("bad key %s", s)
		}
		rest = s[len(quoted):]
		key, err = strconv.Unquote(quoted)
	} else {
		key, rest = cutWord(s)
	}
	if err == nil && (key == "" || key >= MarkerKey) {
		err = fmt.Errorf("key %q is empty or not below %q", key, MarkerKey)
	}
	return key, rest, err
}
