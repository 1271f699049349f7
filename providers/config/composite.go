package config

import "time"

// Composite serves from a primary provider, keeps a backup level with it, and
// fails over.
type Composite struct {
	// Primary serves while it is healthy. It may be any backend but a composite.
	Primary Backend `name:"primary" required:"true"`
	// Backup takes over when Primary fails. It may be any backend but a composite.
	Backup Backend `name:"backup" required:"true"`
	// Mode is how both go together. In synchronous, a write is acknowledged when both have
	// it. In periodic it is when Primary has it, and Backup is brought level every
	// SyncInterval: a failover loses what came since. In cache, Primary holds copies of
	// what is in Backup, and Backup alone keeps.
	Mode CompositeMode `name:"mode" default:"synchronous" oneof:"synchronous,periodic,cache"`
	// AllowSingle lets one of them take writes alone while the other is out, in mode
	// synchronous; without it writes are refused then.
	AllowSingle bool `name:"allow_single" default:"false"`
	// SyncInterval is, in mode periodic, the time from one synchronisation of the backup
	// to the next; in mode synchronous, from one look after what a failed write has left
	// different to the next; in mode cache, the longest life of a copy, and so how stale a
	// read can be.
	SyncInterval time.Duration `name:"sync_interval" default:"60s" min:"1s" max:"24h"`
	// HealthCheckInterval is the time from one look at the providers to the next.
	HealthCheckInterval time.Duration `name:"health_check_interval" default:"30s" min:"100ms" max:"24h"`
	// FailoverThreshold is the number of failed checks and requests in a row that fails
	// over.
	FailoverThreshold int `name:"failover_threshold" default:"3" min:"1" max:"1000"`
	// LeaseTTL is how long the process that serves may be silent before another one takes
	// over; mode cache has no such process.
	LeaseTTL time.Duration `name:"lease_ttl" default:"15s" min:"1s" max:"1h"`
	// RequestTimeout bounds each request to one of the providers; beyond it has failed.
	RequestTimeout time.Duration `name:"request_timeout" default:"5s" min:"1ms" max:"1h"`
}

// Kind returns KindComposite.
func (Composite) Kind() Kind { return KindComposite }

// Validate reports every mistake, those of the two providers included.
func (c Composite) Validate() error { return validateAlone(c) }

func (c Composite) check(r *report) {
	if c.AllowSingle && c.Mode != Synchronous {
		r.bad("allow_single", "is for mode synchronous; mode "+string(c.Mode)+" goes on with one provider in any case", "")
	}
	if c.Mode == CacheMode && c.LeaseTTL != Default[Composite]().LeaseTTL {
		r.bad("lease_ttl", "does nothing in mode cache, which any number of processes share", "")
	}
}

// CompositeMode is how the two providers of a composite go together: "synchronous",
// "periodic" or "cache".
type CompositeMode string

// The modes of a composite.
const (
	Synchronous CompositeMode = "synchronous"
	Periodic    CompositeMode = "periodic"
	CacheMode   CompositeMode = "cache"
)

// noComposite is said of a composite within another one.
const noComposite = "a composite cannot hold another one; name a backend"
