package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/orbit-persistence/orbit/providers/driver"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Backend is the selector.
const Backend = "kubernetes"

func init() {
	driver.Register(Backend, func(ctx context.Context, options any) (driver.Store, error) {
		c, err := driver.Options(options, Defaults())
		if err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
}

// Config sets up a store.
type Config struct {
	// Namespace holds the objects; it must exist.
	Namespace string
	// ConfigMapName begins the names of ConfigMaps and Leases.
	ConfigMapName string
	// SecretName begins the names of Secrets; "" keeps nothing in Secrets.
	SecretName string
	// SecretPrefixes are what the keys begin with whose values are secret; none is
	// "secret/". Without SecretName there are none.
	SecretPrefixes []string
	// KubeconfigPath is the file that says how to reach the cluster; "" is $KUBECONFIG, or
	// ~/.kube/config. InCluster uses the service account of the pod instead.
	KubeconfigPath string
	InCluster      bool
	// Rest, unless nil, says how to reach the cluster in the place of these two. It is
	// copied.
	Rest *rest.Config
}

// Defaults returns the defaults.
func Defaults() Config { return Config{Namespace: "default", ConfigMapName: "orbit-data"} }

// maxName bounds ConfigMapName and SecretName, so that keys have the room that the
// services need.
const maxName = 120

// normalised returns c with its defaults, or an ErrInvalid that names what no store can
// be opened with.
func (c Config) normalised() (Config, error) {
	if problems := validation.IsDNS1123Label(c.Namespace); len(problems) > 0 {
		return c, fmt.Errorf("%w: namespace %q: %s", driver.ErrInvalid, c.Namespace, strings.Join(problems, "; "))
	}
	for option, name := range map[string]string{"config_map_name": c.ConfigMapName, "secret_name": c.SecretName} {
		if option == "secret_name" && name == "" {
			continue
		}
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 || len(name) > maxName {
			return c, fmt.Errorf("%w: %s %q: up to %d letters; %s", driver.ErrInvalid, option, name, maxName, strings.Join(problems, "; "))
		}
	}
	if c.SecretName == "" && len(c.SecretPrefixes) > 0 {
		return c, fmt.Errorf("%w: secret_prefixes without secret_name", driver.ErrInvalid)
	}
	if c.SecretName != "" && len(c.SecretPrefixes) == 0 {
		c.SecretPrefixes = []string{"secret/"}
	}
	for _, p := range c.SecretPrefixes {
		if p == "" || strings.HasPrefix(p, leasePrefix) || strings.HasPrefix(leasePrefix, p) {
			return c, fmt.Errorf("%w: secret_prefixes has %q; leases are kept in Leases, and no prefix may be empty", driver.ErrInvalid, p)
		}
	}
	if c.InCluster && c.KubeconfigPath != "" {
		return c, fmt.Errorf("%w: kubeconfig_path beside in_cluster", driver.ErrInvalid)
	}
	return c, nil
}

// cluster returns how to reach the cluster. There is no fallback from one way to another.
func (c *Config) cluster() (*rest.Config, error) {
	if c.Rest != nil {
		return rest.CopyConfig(c.Rest), nil
	}
	if c.InCluster {
		r, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("%w: in_cluster: %v", driver.ErrInvalid, err)
		}
		return r, nil
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.KubeconfigPath
	loaded, err := rules.Load()
	if err != nil {
		kind := driver.ErrInvalid
		if errors.Is(err, os.ErrPermission) {
			kind = driver.ErrDenied
		}
		return nil, fmt.Errorf("%w: kubeconfig: %v", kind, err)
	}
	// Not the deferred loading of clientcmd: that uses the pod's account where the file
	// says nothing.
	r, err := clientcmd.NewDefaultClientConfig(*loaded, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("%w: kubeconfig: %v; set kubeconfig_path, or in_cluster in a pod", driver.ErrInvalid, err)
	}
	return r, nil
}
