package config

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

const password = "hunter2-hunter2"

// TestSecretIsNeverPrinted tries every way of printing that there is, of a secret,
// of what holds one, and of what holds that.
func TestSecretIsNeverPrinted(t *testing.T) {
	secret := NewSecret(password)
	type holder struct {
		Public Secret
		hidden Secret
		list   []Secret
		table  map[string]Secret
		any    any
	}
	h := holder{secret, secret, []Secret{secret}, map[string]Secret{password[:3]: secret}, secret}
	backend := Default[Redis]()
	backend.Password = secret
	config, err := NewBuilder().With("redis", backend, true).Build()
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, value := range []any{secret, &secret, h, &h, backend, config, *config, []any{secret}, fmt.Errorf("with %v", secret)} {
		for _, verb := range "vsqxXdbocUeEfFgGtpTw" {
			for _, flags := range []string{"", "+", "#", "-20", "010", ".3"} {
				shown = append(shown, fmt.Sprintf("%"+flags+string(verb), value))
			}
		}
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("opened", "value", value, slog.Group("g", "value", value))
			shown = append(shown, b.String())
		}
		for _, marshal := range []func(any) ([]byte, error){json.Marshal, xml.Marshal, toml.Marshal} {
			text, err := marshal(value)
			shown = append(shown, string(text), fmt.Sprint(err))
		}
	}
	shown = append(shown, config.TOML(), config.Explain(), config.String())
	for _, text := range shown {
		for _, leak := range []string{password, password[:7], fmt.Sprintf("%x", password[:7]), fmt.Sprintf("%X", password[:7])} {
			if strings.Contains(text, leak) {
				t.Fatalf("%q shows the secret", text)
			}
		}
	}
	if !strings.Contains(config.TOML(), `password = "[hidden]"`) {
		t.Errorf("nothing tells that there is a password:\n%s", config)
	}
}

// TestSecretsInMistakes: whatever is wrong with a secret, or around it, no error
// shows a part of it.
func TestSecretsInMistakes(t *testing.T) {
	n := 0
	check := func(c *Config, err error) {
		n++
		switch {
		case err == nil && strings.Contains(fmt.Sprintf("%v%+v%s", c, c.Providers, c.Explain()), password[:4]):
			t.Errorf("%v shows the secret", c)
		case err != nil && strings.Contains(fmt.Sprintf("%v%+v%#v", err, Errors(err), err), password[:4]):
			t.Errorf("%v shows the secret", err)
		case err != nil && len(Errors(err)) == 0:
			t.Errorf("%v is no *Error", err)
		}
	}
	for _, value := range []string{
		`"` + password + `"`, password, `'` + password + `'`, `"` + password, `'` + password, `"""` + password + `"""`, `["` + password + `"]`,
		`{ a = "` + password + `" }`, `"` + password + `" "` + password + `"`, `"\` + password + `"`, "hunter2 = hunter2", `t` + password, "\n" + password, `1` + password,
		`"` + password + "\" \\\n",
	} {
		for _, option := range []string{"password", "pasword", "url", "database", "cluster_mode", "pool_size", "connection_timeout"} {
			check(Parse("o.toml", []byte("[providers.redis]\ntype = \"Redis\"\n"+option+" = "+value+"\n"), nil))
			check(Parse("o.json", []byte(`{"providers": {"redis": {"type": "Redis", "`+option+`": `+value+`}}}`), nil))
		}
	}
	// Numbers that are too large for the library, which shows them.
	for _, digits := range []string{"31415926535897932384", "0x31415926535897932384", "31415926e9999", "3_1415926535897932384", "31415926.e", "31415926-5"} {
		_, err := Parse("o.toml", []byte("[providers.redis]\ntype = \"Redis\"\npassword = "+digits+"\n"), nil)
		if err == nil || strings.Contains(err.Error(), "1415926") || strings.Contains(err.Error(), "'") {
			t.Errorf("%s: %v", digits, err)
		}
	}
	for _, url := range []string{
		"redis://user:" + password + "@localhost:6379", "redis://user:" + password + "@localhost:port", "redis://:" + password + "@", "redis://:" + password + "@h:1/x",
		"http://:" + password + "@h", "redis:" + password, "redis://h?password=" + password, ":" + password + "@h", "redis://%zz" + password,
		"redis://u:" + password + "@h:1/99999", "redis://u:" + password + "@h:1/2",
	} {
		for _, variable := range []string{"ORBIT_REDIS_URL", "ORBIT_ETCD_ENDPOINTS", "ORBIT_S3_ENDPOINT", "ORBIT_AZURE_ENDPOINT", "ORBIT_GCP_ENDPOINT", "ORBIT_MINIO_ENDPOINT"} {
			check(Read("", []string{variable + "=" + url, "ORBIT_REDIS_PASSWORD=other"}))
			check(Read("", []string{variable + "=" + url}))
		}
	}
	for _, pair := range []string{"ORBIT_S3_SECRET_ACESS_KEY=", "ORBIT_S3_SECRET_ACCESS_KEY=", "ORBIT_S3_CUSTOMER_KEY=", "ORBIT_GCP_SERVICE_ACCOUNT_KEY=", "ORBIT_AZURE_ACCOUNT_KEY=\xff", "ORBIT_MINIO_SECRET_KEY=", "ORBIT_ETCD_PASSWORD="} {
		check(Read("", []string{pair + password}))
	}
	if n < 200 {
		t.Errorf("%d inputs", n)
	}
}

func TestSecretIsRevealed(t *testing.T) {
	if s := NewSecret(password); s.Reveal() != password || s.IsZero() || s != NewSecret(password) || s == NewSecret("other") {
		t.Error("a secret is not what was put in")
	}
	if (Secret{}).Reveal() != "" || !NewSecret("").IsZero() || (Secret{}).String() != "" {
		t.Error("the zero value is not empty")
	}
}

// TestRedisURL: what a URL holds moves to the options of its names.
func TestRedisURL(t *testing.T) {
	c, err := Read("", []string{"ORBIT_REDIS_URL=rediss://app:" + password + "@cache:6380/4"})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Providers["redis"].(Redis)
	if r.URL != "rediss://cache:6380" || r.Username != "app" || r.Password.Reveal() != password || r.Database != 4 {
		t.Errorf("%+v with password %t", r, r.Password.Reveal() == password)
	}
	r.URL = "redis://:" + password + "@cache"
	if err := r.Validate(); err == nil || !strings.Contains(err.Error(), "options of their own") {
		t.Errorf("a program's URL with a password: %v", err)
	}
}
