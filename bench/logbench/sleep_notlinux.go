//go:build !linux

package logbench

import "time"

func pause(d time.Duration) { time.Sleep(d) }
