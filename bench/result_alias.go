package bench

import "github.com/orbit-persistence/orbit/bench/result"

type (
	Result      = result.Result
	RunHeader   = result.RunHeader
	MemoryLimit = result.MemoryLimit
	DataInfo    = result.DataInfo
	Limits      = result.Limits
	Measurement = result.Measurement
)

const Format = result.Format

var ReadResult = result.Read
