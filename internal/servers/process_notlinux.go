//go:build !linux

package servers

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }

// reservePort leaves it to chance whether another process draws the same.
func reservePort(int) (bool, error) { return true, nil }
