package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
)

// parseJSON reads JSON into a tree that knows where everything stood. A key that
// is there twice is an error, as it is in TOML.
func parseJSON(file string, text []byte) (*node, *Error) {
	p := jsonParser{source: newSource(file, text), decoder: json.NewDecoder(bytes.NewReader(text))}
	p.decoder.UseNumber()
	root, err := p.value(0)
	if err == nil && !root.isTable() {
		err = root.at.error("", mustBe("a table: { … }", root.content()), "")
	}
	if err == nil {
		at := p.here()
		if _, end := p.decoder.Token(); !errors.Is(end, io.EOF) {
			err = at.error("", "there is more after the end of the configuration", "")
		}
	}
	if err != nil {
		return nil, err
	}
	return root, nil
}

type jsonParser struct {
	*source
	decoder *json.Decoder
}

// here is the place of the next token.
func (p *jsonParser) here() place {
	offset := int(p.decoder.InputOffset())
	for offset < len(p.text) && strings.IndexByte(" \t\r\n,:", p.text[offset]) >= 0 {
		offset++
	}
	return p.at(offset)
}

func (p *jsonParser) token() (json.Token, place, *Error) {
	at := p.here()
	token, err := p.decoder.Token()
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return token, at, nil
	case errors.As(err, &syntax):
		if within := p.at(min(max(int(syntax.Offset)-1, 0), len(p.text))); within.line > at.line || within.line == at.line && within.column > at.column {
			at = within
		}
		return nil, at, at.error("", "is not JSON here; look for a comma, a quote or a brace too many or missing", "")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, at, at.error("", "ends in the middle; a brace, bracket or quote is missing", "")
	}
	return nil, at, at.error("", "is not JSON here", "")
}

func (p *jsonParser) value(depth int) (*node, *Error) {
	token, at, err := p.token()
	if err != nil {
		return nil, err
	}
	n := &node{at: at}
	switch x := token.(type) {
	case nil:
		n.value = null{}
	case json.Number:
		if i, err := strconv.ParseInt(x.String(), 10, 64); err == nil {
			n.value = i
		} else {
			f, _ := strconv.ParseFloat(x.String(), 64) // what is out of range is no whole number either
			n.value = f
		}
	case json.Delim:
		if depth >= maxDepth {
			return nil, at.error("", "is nested too deep", "")
		}
		if x == '[' {
			return p.list(n, depth)
		}
		return p.object(n, depth)
	default: // string, bool
		n.value = x
	}
	return n, nil
}

func (p *jsonParser) list(n *node, depth int) (*node, *Error) {
	var items []any
	for p.decoder.More() {
		item, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, item.content())
	}
	n.value = listOf(items)
	_, _, err := p.token()
	return n, err
}

func (p *jsonParser) object(n *node, depth int) (*node, *Error) {
	n.fields = map[string]*node{}
	for p.decoder.More() {
		token, at, err := p.token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, at.error("", "must be a key in quotes", "")
		}
		if first, twice := n.fields[name]; twice {
			return nil, at.error(name, "is set twice; first at "+first.at.String(), "")
		}
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		value.at = at
		n.fields[name] = value
	}
	_, _, err := p.token()
	return n, err
}
