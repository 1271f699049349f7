package servers

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
)

const (
	// seedVariable holds what all secrets of a run are made of; processes that a test
	// starts inherit it.
	seedVariable = "ORBIT_TEST_SEED"
	// SecretsVariable names a file in which every secret is recorded. `make test` searches
	// all that the tests have said for them.
	SecretsVariable = "ORBIT_SECRETS"
)

// Secret returns a secret for a server of tests, which nobody could guess: the same for the
// same name in one run, and in the processes that it starts.
func Secret(name string) string {
	seed := os.Getenv(seedVariable)
	if seed == "" {
		seed = rand.Text()
		if err := os.Setenv(seedVariable, seed); err != nil {
			panic(err)
		}
	}
	sum := sha256.Sum256([]byte(seed + name))
	secret := hex.EncodeToString(sum[:16])
	if path := os.Getenv(SecretsVariable); path != "" {
		if err := record(path, secret); err != nil {
			panic(err)
		}
	}
	return secret
}

// record appends a line, at once, as several processes do.
func record(path, secret string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(secret + "\n"); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
