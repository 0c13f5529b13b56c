package sim

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// An identity is what the goroutines of a host have in common from one start of the host to its crash. In
// exact mode, what they ask of package net and others themselves is the host's (see netcalls.go).
type identity struct {
	number     uint64 // in the process, from 1
	host       *Host
	mu         sync.Mutex
	transports map[*http.Transport]*http.Transport // the host's own copies, by the shared transport
}

var identities atomic.Uint64

//go:norace
func newIdentity(h *Host) *identity { return &identity{number: identities.Add(1), host: h} }

// identity returns the current identity of the host. A goroutine that the host starts needs no lock for it.
//
//go:norace
func (h *Host) identity() *identity { return h.runs }

// assume makes the calling goroutine part of the host's program.
func (i *identity) assume() {
	if exact.Hosts && i != nil && !i.host.n.conf.loopback {
		exact.SetHost(unsafe.Pointer(i))
	}
}

// alive reports whether the host has not crashed since.
func (i *identity) alive() bool {
	return get(i.host.n, func() bool { return i.host.runs == i })
}

// networkTime is the network's time, whoever asks; [time.Now] is that of the caller's host.
func networkTime() time.Time {
	if exact.Hosts {
		if caller := exact.SetHost(nil); caller != nil {
			defer exact.SetHost(caller)
		}
	}
	return time.Now()
}

// ofNetwork converts an instant by a program's host clock into one by the network's.
func ofNetwork(t time.Time) time.Time {
	if !exact.Hosts || t.IsZero() {
		return t
	}
	i := (*identity)(exact.Host())
	if i == nil || i.host.madeClock() == nil {
		return t
	}
	left := time.Until(t)
	return networkTime().Add(left)
}

// madeClock returns the clock of h, if a program or a fault has ever asked for it: until then it is right.
//
//go:norace
func (h *Host) madeClock() *Clock { return h.clock }
