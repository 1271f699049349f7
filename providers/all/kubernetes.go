package all

import (
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/kubernetes"
)

func init() {
	register(func(b config.Kubernetes, c *providers.Config) error {
		c.Options = kubernetes.Config{
			Namespace: b.Namespace, ConfigMapName: b.ConfigMapName, SecretName: b.SecretName, SecretPrefixes: b.SecretPrefixes,
			KubeconfigPath: b.KubeconfigPath, InCluster: b.InCluster,
		}
		return nil
	})
}
