//go:build !linux

package logbench

import "time"

func newPause() (pause func(time.Duration) error, end func() error, err error) {
	pause = func(d time.Duration) error {
		time.Sleep(d)
		return nil
	}
	return pause, func() error { return nil }, nil
}
