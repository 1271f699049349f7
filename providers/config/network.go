package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Etcd is an etcd cluster.
type Etcd struct {
	// Endpoints are the URLs of its members. Where one of CACert and ClientCert is
	// given, http:// is read as https://: certificates are not given for nothing.
	Endpoints []string `name:"endpoints" default:"http://localhost:2379" required:"true"`
	// Prefix begins every key, followed by "/".
	Prefix string `name:"prefix" default:"orbit"`
	// Username and Password are the credentials, where etcd's authentication is on.
	Username string `name:"username"`
	// Password belongs to Username.
	Password Secret `name:"password"`
	// CACert is a file with the certificate authority to trust, in PEM; empty is the
	// system's.
	CACert string `name:"ca_cert"`
	// ClientCert and ClientKey are files with the certificate that the client shows,
	// and its key, in PEM.
	ClientCert string `name:"client_cert"`
	// ClientKey belongs to ClientCert.
	ClientKey string `name:"client_key"`
	// ConnectionTimeout bounds the making of a connection.
	ConnectionTimeout time.Duration `name:"connection_timeout" default:"5s" min:"1ms" max:"1h"`
	// LeaseTTL is how long what is bound to this client outlives it; whole seconds.
	LeaseTTL time.Duration `name:"lease_ttl" default:"300s" min:"1s" max:"87600h"`
}

// Kind returns KindEtcd.
func (Etcd) Kind() Kind { return KindEtcd }

// Validate reports every mistake.
func (c Etcd) Validate() error { return validateAlone(c) }

// normalise makes the endpoints https where there are certificates.
func (c *Etcd) normalise(*report) {
	if c.CACert == "" && c.ClientCert == "" {
		return
	}
	c.Endpoints = slices.Clone(c.Endpoints)
	for i, endpoint := range c.Endpoints {
		if rest, plain := strings.CutPrefix(endpoint, "http://"); plain {
			c.Endpoints[i] = "https://" + rest
		}
	}
}

func (c Etcd) check(r *report) {
	for _, endpoint := range c.Endpoints {
		u, ok := checkURL(r, "endpoints", endpoint, "http", "https")
		if ok && u.Scheme == "http" && (c.CACert != "" || c.ClientCert != "") {
			r.bad("endpoints", "must be https:// where ca_cert or client_cert is given", "")
		}
	}
	checkPair(r, "username", c.Username != "", "password", !c.Password.IsZero())
	checkPair(r, "client_cert", c.ClientCert != "", "client_key", c.ClientKey != "")
	if c.LeaseTTL%time.Second != 0 {
		r.bad("lease_ttl", "must be whole seconds, which etcd counts in, not "+c.LeaseTTL.String(), "")
	}
	checkPrefix(r, c.Prefix)
}

// Redis is a Redis server, or a cluster of them.
type Redis struct {
	// URL is redis://host:port or, over TLS, rediss://host:port. In a file it may be
	// redis://user:password@host:port/database, which sets those options.
	URL string `name:"url" default:"redis://localhost:6379" required:"true"`
	// ClusterMode speaks to a Redis cluster, of which URL is one member.
	ClusterMode bool `name:"cluster_mode" default:"false"`
	// Database is the number of the database; a cluster has 0 only.
	Database int `name:"database" default:"0" max:"65535"`
	// Username is the user of Redis's access control; empty is the default user.
	Username string `name:"username"`
	// Password is the user's, or the server's.
	Password Secret `name:"password"`
	// CACert is a file with the certificate authority to trust, in PEM; empty is the
	// system's.
	CACert string `name:"ca_cert"`
	// Prefix begins every key, followed by ":".
	Prefix string `name:"prefix" default:"orbit"`
	// ConnectionTimeout bounds the making of a connection.
	ConnectionTimeout time.Duration `name:"connection_timeout" default:"5s" min:"1ms" max:"1h"`
	// PoolSize is the most connections, to each member of a cluster.
	PoolSize int `name:"pool_size" default:"10" min:"1" max:"10000"`
	// RetryCount is how often a command that is safe to repeat is tried again.
	RetryCount int `name:"retry_count" default:"3" max:"100"`
	// Partitions is over how many hash slots of a cluster keys are spread. With 1 every
	// transaction is one script, and entries may have a TTL. It cannot be changed once
	// something is stored, and acts with ClusterMode alone.
	Partitions int `name:"partitions" default:"64" min:"1" max:"1024"`
	// WaitReplicas is how many replicas must have a write before it is acknowledged.
	WaitReplicas int `name:"wait_replicas" default:"0" max:"100"`
	// WaitTimeout is how long a write waits for its replicas; what too few have then is
	// reported as in doubt.
	WaitTimeout time.Duration `name:"wait_timeout" default:"1s" min:"1ms" max:"1h"`
}

// Kind returns KindRedis.
func (Redis) Kind() Kind { return KindRedis }

// Validate reports every mistake.
func (c Redis) Validate() error { return validateAlone(c) }

// normalise moves what the URL says of user, password and database to the options
// of those names, so that the URL can be shown.
func (c *Redis) normalise(r *report) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return // check reports it
	}
	if u.User != nil {
		if name := u.User.Username(); name != "" {
			if c.Username != "" && c.Username != name {
				r.bad("username", "is not the user that url names; set one of them", "")
			}
			c.Username = name
			r.cameWith("username", "url")
		}
		if text, ok := u.User.Password(); ok && text != "" {
			password := NewSecret(text)
			if !c.Password.IsZero() && c.Password != password {
				r.bad("password", "is not the password that url holds; set one of them", "")
			}
			c.Password = password
			r.cameWith("password", "url")
		}
		u.User = nil
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		number, err := strconv.Atoi(path)
		switch {
		case err != nil || number < 0:
			r.bad("url", "must end with the number of a database, or without a path", "")
		case c.Database != 0 && c.Database != number:
			r.bad("database", "is not the database that url names; set one of them", "")
		default:
			c.Database = number
			r.cameWith("database", "url")
		}
	}
	u.Path, u.RawPath = "", ""
	c.URL = u.String()
}

func (c Redis) check(r *report) {
	u, ok := checkURL(r, "url", c.URL, "redis", "rediss")
	if ok && u.Path != "" {
		r.bad("url", "must end after the port; database is an option of its own", "")
	}
	if ok && c.CACert != "" && u.Scheme == "redis" {
		r.bad("ca_cert", "does nothing with redis://, which is not encrypted; write rediss:// in url", "")
	}
	if c.Username != "" && c.Password.IsZero() {
		r.bad("password", "is missing; username does nothing without it", "")
	}
	if c.ClusterMode && c.Database != 0 {
		r.unsupported("database", fmt.Sprintf("a Redis cluster has database 0 only, not %d; set cluster_mode = false, or keep data apart by prefix", c.Database))
	}
}

// Kubernetes keeps data in ConfigMaps and Secrets of a cluster.
type Kubernetes struct {
	// Namespace holds the objects; it must exist.
	Namespace string `name:"namespace" default:"default" required:"true"`
	// ConfigMapName begins the names of the ConfigMaps.
	ConfigMapName string `name:"config_map_name" default:"orbit-data" required:"true"`
	// SecretName begins the names of Secrets for values that must be kept as such;
	// empty uses none.
	SecretName string `name:"secret_name"`
	// SecretPrefixes are what the keys begin with whose values are kept in Secrets; empty
	// is "secret/". They do nothing without SecretName, and are refused.
	SecretPrefixes []string `name:"secret_prefixes"`
	// KubeconfigPath is the file that says how to reach the cluster; empty is
	// $KUBECONFIG, or ~/.kube/config.
	KubeconfigPath string `name:"kubeconfig_path"`
	// InCluster uses the service account of the pod that this runs in.
	InCluster bool `name:"in_cluster" default:"false"`
}

// Kind returns KindKubernetes.
func (Kubernetes) Kind() Kind { return KindKubernetes }

// Validate reports every mistake.
func (c Kubernetes) Validate() error { return validateAlone(c) }

// What Kubernetes takes as a namespace (a label of RFC 1123) and as the name of a
// ConfigMap or Secret (a subdomain), of which keys need the rest.
var (
	namespacePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	objectPattern    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

const (
	maxObjectName = 120
	// leaseKeys begin the keys of the directory of leases, which are kept in Leases.
	leaseKeys = "lease/"
)

func (c Kubernetes) check(r *report) {
	if c.Namespace != "" && !namespacePattern.MatchString(c.Namespace) {
		r.bad("namespace", "must be up to 63 of a-z, 0-9 and -, not "+quote(c.Namespace), "")
	}
	for option, name := range map[string]string{"config_map_name": c.ConfigMapName, "secret_name": c.SecretName} {
		switch {
		case name == "":
		case !objectPattern.MatchString(name):
			r.bad(option, "must be words of a-z, 0-9 and -, with dots between them, not "+quote(name), "")
		case len(name) > maxObjectName:
			r.bad(option, fmt.Sprintf("has %d letters, and may have %d: a key is the rest of an object's name, of 253", len(name), maxObjectName), "")
		}
	}
	if len(c.SecretPrefixes) > 0 && c.SecretName == "" {
		r.bad("secret_prefixes", "does nothing without secret_name; set that, too", "")
	}
	for _, prefix := range c.SecretPrefixes {
		switch {
		case prefix == "":
			r.bad("secret_prefixes", "holds an empty prefix, with which every key begins", "")
		case strings.HasPrefix(prefix, leaseKeys) || strings.HasPrefix(leaseKeys, prefix):
			r.bad("secret_prefixes", "holds "+quote(prefix)+", and keys that begin with "+quote(leaseKeys)+" are kept in Leases", "")
		}
	}
	if c.InCluster && c.KubeconfigPath != "" {
		r.bad("kubeconfig_path", "is set beside in_cluster = true; set one of them", "")
	}
}
