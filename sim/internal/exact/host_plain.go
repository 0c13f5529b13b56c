//go:build !squall_exact

package exact

import "unsafe"

// Hosts says that goroutines can have the identity of a host.
const Hosts = false

// Host is the identity of the calling goroutine: none.
func Host() unsafe.Pointer { return nil }

// SetHost does nothing.
func SetHost(unsafe.Pointer) (was unsafe.Pointer) { return nil }
