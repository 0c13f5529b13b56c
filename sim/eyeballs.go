package sim

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// A dial to several addresses, as package net does it (sysDialer): one after the other, and the two families
// of a name in parallel (RFC 6555).

// defaultFallbackDelay is that of net.Dialer.
const defaultFallbackDelay = 300 * time.Millisecond

// byFamily returns the targets of the same family as the first one, and the others.
func byFamily(targets []netip.AddrPort) (primaries, fallbacks []netip.AddrPort) {
	for _, t := range targets {
		if t.Addr().Is4() == targets[0].Addr().Is4() {
			primaries = append(primaries, t)
		} else {
			fallbacks = append(fallbacks, t)
		}
	}
	return primaries, fallbacks
}

// A raced is the result of one of two parallel dials.
type raced struct {
	conn    net.Conn
	err     error
	primary bool
}

// dialParallel returns the first connection that succeeds, or the error of the primaries. The fallbacks begin
// when the delay is over, or when the primaries have failed.
func (d *Dialer) dialParallel(ctx context.Context, network string, primaries, fallbacks []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	returned := make(chan struct{})
	defer close(returned)
	results := make(chan raced)
	race := func(targets []netip.AddrPort, primary bool) {
		c, err := d.dialSerial(ctx, network, targets)
		select {
		case results <- raced{c, err, primary}:
		case <-returned:
			if c != nil {
				c.Close()
			}
		}
	}
	go race(primaries, true)

	delay := d.FallbackDelay
	if delay == 0 {
		delay = defaultFallbackDelay
	}
	fallback := time.NewTimer(delay)
	defer fallback.Stop()
	var failed error // that of the primaries
	for over := 0; ; {
		select {
		case <-fallback.C:
			go race(fallbacks, false)
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			if over++; r.primary {
				failed = r.err
				if fallback.Stop() {
					fallback.Reset(0)
				}
			}
			if over == 2 {
				return nil, failed
			}
		}
	}
}

// leastShare is the least time that one of several addresses gets, if that much is left.
const leastShare = 2 * time.Second

// dialSerial tries one address after the other, and returns the error of the first if all fail.
func (d *Dialer) dialSerial(ctx context.Context, network string, targets []netip.AddrPort) (net.Conn, error) {
	if len(targets) == 1 {
		return d.dialOne(ctx, network, targets[0])
	}
	var failed error
	for i, to := range targets {
		c, err := d.dialShare(ctx, network, to, len(targets)-i)
		if err == nil {
			return c, nil
		}
		if failed == nil {
			failed = err
		}
		if errors.Is(ctx.Err(), context.Canceled) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			break
		}
	}
	return nil, failed
}

// dialShare tries an address for its share of the remaining time, with that many addresses left.
func (d *Dialer) dialShare(ctx context.Context, network string, to netip.AddrPort, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		rest := time.Until(deadline)
		if share := max(rest/time.Duration(left), min(leastShare, rest)); share < rest {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, share)
			defer cancel()
		}
	}
	return d.dialOne(ctx, network, to)
}
