package config

import (
	"fmt"
	"io"
	"log/slog"
	"unique"
)

// Hidden stands for a secret wherever one would be printed. It is refused as the
// value of a secret, so that printed output is not taken for a configuration.
const Hidden = "[hidden]"

// Secret is a password or key. Every way of printing it, in logs, JSON and all
// verbs of fmt, shows Hidden, or nothing if it is empty; only Reveal returns it.
// Secrets of equal text are equal. The zero value is empty.
type Secret struct {
	// A handle is an address to those who print it from an unexported field of
	// theirs, where fmt calls no methods.
	text unique.Handle[string]
}

// NewSecret returns a secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{unique.Make(text)}
}

// Reveal returns the secret itself, for the client library that needs it.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.text.Value()
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s == Secret{} }

// String returns Hidden, or "" if the secret is empty.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return Hidden
}

// Format writes what String returns, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue is what slog writes.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is what encoders of JSON, TOML, XML and YAML write.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
