//go:build squall_exact

package exact

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"unsafe"
)

// Hosts reports whether goroutines can have the identity of a host.
const Hosts = true

// Host returns the identity of the calling goroutine, or nil if it has none. Goroutines that it starts have the same identity, and so do
// the functions of timers that it makes with [time.AfterFunc].
func Host() unsafe.Pointer { return host() }

// SetHost gives the calling goroutine another identity, and returns the previous one.
func SetHost(to unsafe.Pointer) (was unsafe.Pointer) { return setHost(to) }

// Answers are the functions that answer a program's requests to the operating system. host is the identity of the goroutine that asks.
type Answers struct {
	// Socket makes a socket for package net. The socket listens or is bound, or is connected to an address.
	Socket func(host unsafe.Pointer, ctx context.Context, network string, listens bool, local, remote net.Addr) (socket any, laddr, raddr net.Addr, err error)

	Named    func(host unsafe.Pointer, ctx context.Context, network, name string) ([]netip.Addr, error)
	Addrs    func(host unsafe.Pointer) (all []netip.Addr, six bool)
	Resolver func(host unsafe.Pointer) *net.Resolver

	Name  func(host unsafe.Pointer) string
	Clock func(host unsafe.Pointer) (unix int64, ok bool)

	Number    func(host unsafe.Pointer) uint64
	Transport func(host unsafe.Pointer, t *http.Transport) *http.Transport
}

// Answer makes the standard library ask a.
func Answer(a Answers) {
	registerSockets(a.Socket)
	registerNames(a.Named, a.Addrs, a.Resolver)
	registerName(a.Name)
	registerClock(a.Clock)
	registerTransport(a.Number, a.Transport)
}

//go:linkname host runtime.squallHost
func host() unsafe.Pointer

//go:linkname setHost runtime.squallSetHost
func setHost(unsafe.Pointer) unsafe.Pointer

//go:linkname registerSockets net.squallRegisterSockets
func registerSockets(func(unsafe.Pointer, context.Context, string, bool, net.Addr, net.Addr) (any, net.Addr, net.Addr, error))

//go:linkname registerNames net.squallRegisterNames
func registerNames(
	func(unsafe.Pointer, context.Context, string, string) ([]netip.Addr, error),
	func(unsafe.Pointer) ([]netip.Addr, bool),
	func(unsafe.Pointer) *net.Resolver,
)

//go:linkname registerName os.squallRegisterName
func registerName(func(unsafe.Pointer) string)

//go:linkname registerClock time.squallRegisterClock
func registerClock(func(unsafe.Pointer) (int64, bool))

//go:linkname registerTransport net/http.squallRegisterTransport
func registerTransport(func(unsafe.Pointer) uint64, func(unsafe.Pointer, *http.Transport) *http.Transport)
