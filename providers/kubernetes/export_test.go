package kubernetes

import (
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// SetOrphanAge changes how old parts must be that Compact removes.
func SetOrphanAge(s driver.Store, d time.Duration) { s.(*Store).orphanAge = d }
