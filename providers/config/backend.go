package config

import (
	"net/url"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
)

// Backend is the configuration of one provider: one of the structs of this package,
// by value. Default makes one; a zero value is not a configuration.
type Backend interface {
	// Kind is the backend that the struct configures.
	Kind() Kind
	// Validate returns every mistake as *Error, joined; Errors lists them.
	Validate() error

	// check reports what the tags of the fields do not say.
	check(r *report)
}

// Default returns a backend's configuration with every default filled in. What has
// no default, as a bucket's name, is empty, and Validate asks for it.
func Default[B Backend]() B {
	var b B
	setDefaults(&b)
	return b
}

// Compression is how stored bytes are packed. Each backend takes some of them. In
// a configuration true is the backend's usual one, and false is none.
type Compression string

// The compressions.
const (
	NoCompression Compression = "none"
	Gzip          Compression = "gzip"
	LZ4           Compression = "lz4"
	Zstd          Compression = "zstd"
	Snappy        Compression = "snappy"
)

// Durability is the class in which a local backend acknowledges a write, unless
// the write asks for another: "flushed", the default, "buffered" or "memory", as
// engine.Durability explains them.
type Durability string

// Class returns the engine's class; ErrInvalid for a word that is none.
func (d Durability) Class() (engine.Durability, error) { return engine.ParseDurability(string(d)) }

// checkEndpoint holds the address of a service to http or https, and to what
// enable_ssl, under the name that the backend gives it, says of it.
func checkEndpoint(r *report, option, endpoint, sslOption string, ssl bool) {
	if endpoint == "" {
		return
	}
	u, ok := checkURL(r, option, endpoint, "http", "https")
	switch {
	case !ok:
	case u.Scheme == "http" && ssl:
		r.bad(option, "is http://, but "+sslOption+" is true; set "+sslOption+" = false to send data unencrypted, or write https://", "")
	case u.Scheme == "https" && !ssl:
		r.bad(option, "is https://, but "+sslOption+" is false; set "+sslOption+" = true", "")
	}
}

// checkURL reports what is no URL of the schemes, or holds credentials. What it
// reports shows nothing of the URL, where a password may stand.
func checkURL(r *report, option, text string, schemes ...string) (*url.URL, bool) {
	forms := strings.Join(schemes, ":// or ") + "://"
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" {
		r.bad(option, "must be a URL that begins with "+forms, "")
		return nil, false
	}
	known := false
	for _, scheme := range schemes {
		known = known || u.Scheme == scheme
	}
	switch {
	case !known:
		r.bad(option, "must begin with "+forms, "")
		return nil, false
	case u.User != nil:
		r.bad(option, "holds a user or password; they have options of their own", "")
		return nil, false
	case u.RawQuery != "" || u.Fragment != "":
		r.bad(option, "must end before ? and #", "")
		return nil, false
	}
	return u, true
}

// checkPair reports that one of two options is there without the other.
func checkPair(r *report, first string, hasFirst bool, second string, hasSecond bool) {
	switch {
	case hasFirst && !hasSecond:
		r.bad(second, "is missing; "+first+" does nothing without it", "")
	case hasSecond && !hasFirst:
		r.bad(first, "is missing; "+second+" does nothing without it", "")
	}
}
