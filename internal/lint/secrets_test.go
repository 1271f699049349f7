package lint

import (
	"os"
	"os/exec"
	"testing"
)

// TestSecretsAreFound: the search of `make test` finds a secret, and does not pass where
// there was nothing to look for.
func TestSecretsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		secrets, output string
		passes          bool
	}{
		"none":            {"a1b2\nc3d4\n", `{"Output":"all is well"}` + "\n", true},
		"one":             {"a1b2\nc3d4\n", `{"Output":"access denied for c3d4"}` + "\n", false},
		"nothing to find": {"", "x\n", false},
		"nothing said":    {"a1b2\n", "", false},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"secrets": c.secrets, "output": c.output} {
			if err := os.WriteFile(dir+"/"+file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.Command("./secrets.sh", dir+"/secrets", dir+"/output").CombinedOutput(); (err == nil) != c.passes {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
}
