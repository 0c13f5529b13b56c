package sim

import "syscall"

const errNoNet = syscall.ENONET
