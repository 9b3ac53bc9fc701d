//go:build !linux

package loopback

import "os/exec"

func endWithThisProcess(*exec.Cmd) {}
