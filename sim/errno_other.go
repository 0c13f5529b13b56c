//go:build !linux

package sim

import "syscall"

// errNoNet stands for ENONET, which only Linux has.
const errNoNet = syscall.EHOSTUNREACH
