package main

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/orbit-persistence/orbit/bench"
)

// encodingFlag says how keys and values are written, in the call and in what is
// printed.
type encodingFlag struct {
	Encoding string `enum:"text,quoted,hex,base64" default:"text" help:"How keys and values are written in the call and in the answer: text (as they are; what cannot be shown is printed quoted), quoted (as Go and JSON do, \\x00 too), hex, base64."`
}

// decode reads an argument.
func (e encodingFlag) decode(what, text string) ([]byte, error) {
	var b []byte
	var err error
	switch e.Encoding {
	case "quoted":
		if !strings.HasPrefix(text, `"`) {
			text = `"` + text + `"`
		}
		var s string
		s, err = strconv.Unquote(text)
		b = []byte(s)
	case "hex":
		b, err = hex.DecodeString(text)
	case "base64":
		b, err = base64.StdEncoding.DecodeString(text)
	default:
		b = []byte(text)
	}
	if err != nil {
		return nil, bench.Usagef("%s %q is not in the encoding %s: %v", what, text, e.Encoding, err)
	}
	return b, nil
}

// encode writes bytes for one line of a table. Text that could be taken for something
// else is quoted, so that it says what it is.
func (e encodingFlag) encode(b []byte) string {
	switch e.Encoding {
	case "hex":
		return hex.EncodeToString(b)
	case "base64":
		return base64.StdEncoding.EncodeToString(b)
	case "quoted":
		return strconv.Quote(string(b))
	}
	if !utf8.Valid(b) || len(b) == 0 || b[0] == '"' || strings.ContainsFunc(string(b), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(string(b))
	}
	return string(b)
}

// inJSON returns bytes as a string under a name, or as base64 under another name where
// they are no UTF-8.
func inJSON(object map[string]any, name string, b []byte) {
	if utf8.Valid(b) {
		object[name] = string(b)
		return
	}
	object[name+"_base64"] = base64.StdEncoding.EncodeToString(b)
}
