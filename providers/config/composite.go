package config

import "time"

// Composite serves from a primary provider, keeps a backup level with it, and
// fails over.
type Composite struct {
	// Primary serves while it is healthy. It may be any backend but a composite.
	Primary Backend `name:"primary" required:"true"`
	// Backup takes over when Primary fails. It may be any backend but a composite.
	Backup Backend `name:"backup" required:"true"`
	// SyncInterval is the time from one synchronisation of the backup to the next.
	SyncInterval time.Duration `name:"sync_interval" default:"60s" min:"1s" max:"24h"`
	// HealthCheckInterval is the time from one look at the providers to the next.
	HealthCheckInterval time.Duration `name:"health_check_interval" default:"30s" min:"100ms" max:"24h"`
	// FailoverThreshold is the number of failed checks in a row that fails over.
	FailoverThreshold int `name:"failover_threshold" default:"3" min:"1" max:"1000"`
}

// Kind returns KindComposite.
func (Composite) Kind() Kind { return KindComposite }

// Validate reports every mistake, those of the two providers included.
func (c Composite) Validate() error { return validateAlone(c) }

func (Composite) check(*report) {}

// noComposite is said of a composite within another one.
const noComposite = "a composite cannot hold another one; name a backend"
