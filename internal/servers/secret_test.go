package servers_test

import (
	"os"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/internal/servers"
)

// TestSecret: a secret is the same again, another one for another name, and recorded.
func TestSecret(t *testing.T) {
	path := t.TempDir() + "/secrets"
	t.Setenv(servers.SecretsVariable, path)
	a, b := servers.Secret("a"), servers.Secret("b")
	if a == b || a != servers.Secret("a") || len(a) != 32 {
		t.Error("secrets are not as they should be")
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), a+"\n") || !strings.Contains(string(data), b+"\n") {
		t.Errorf("what was recorded has %d bytes, %v", len(data), err)
	}
}
