//go:build !squall_exact

package exact

import "unsafe"

// Hosts reports whether goroutines can have the identity of a host.
const Hosts = false

// Host returns nil: without exact mode no goroutine has an identity.
func Host() unsafe.Pointer { return nil }

// SetHost does nothing.
func SetHost(unsafe.Pointer) (was unsafe.Pointer) { return nil }
