package node

import (
	"bytes"

	"github.com/orbit-persistence/orbit/providers"
)

// IsNode reports whether an entry of a provider is a node, whether or not its lease has
// expired: for whoever goes through all that a provider has. An entry in a node's place
// that is none is ErrCorrupt.
func IsNode(e providers.Entry) (bool, error) {
	if !bytes.HasPrefix(e.Key, prefix) {
		return false, nil
	}
	_, err := decode(e)
	return err == nil, err
}
