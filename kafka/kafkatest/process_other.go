//go:build !linux

package kafkatest

import "syscall"

// dieWithParent does nothing: here the watchdog is alone.
func dieWithParent(*syscall.SysProcAttr) {}
