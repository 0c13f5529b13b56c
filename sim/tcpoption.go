package sim

import (
	"cmp"
	"math"
	"net"
	"syscall"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// SetNoDelay sets whether small segments are sent at once, which is the default, or wait for the
// acknowledgement of data in flight (Nagle's algorithm).
func (c *TCPConn) SetNoDelay(noDelay bool) error {
	return c.set(func() error {
		c.later(func(now int64) { c.tcp().SetNoDelay(tcp.Time(now), noDelay) })
		return nil
	})
}

// SetLinger sets what [TCPConn.Close] does with data not yet acknowledged. If sec is negative, which is the
// default, the data is sent in the background. If sec is 0, it is discarded and the peer is reset. If sec is
// positive, Close waits for up to sec seconds.
func (c *TCPConn) SetLinger(sec int) error {
	return c.set(func() error {
		c.asked.linger = int32(min(sec, math.MaxInt32))
		return nil
	})
}

// SetKeepAlive turns keep-alive probes on or off. They are on by default, with the
// times of package net: 15 s of silence, then 9 probes 15 s apart.
func (c *TCPConn) SetKeepAlive(keepalive bool) error {
	return c.setKeepAlive(func(k *tcp.KeepAlive) { k.Off = !keepalive })
}

// SetKeepAlivePeriod sets the time of silence before the first probe, in whole seconds, rounded up as in
// Linux. Zero means the default; a negative value changes nothing.
func (c *TCPConn) SetKeepAlivePeriod(d time.Duration) error {
	return c.setKeepAlive(func(k *tcp.KeepAlive) { setSeconds(&k.Idle, d) })
}

// SetKeepAliveConfig sets all keep-alive options. Each value follows the rules of
// [TCPConn.SetKeepAlivePeriod]. Linux's limits are 32767 s and 127 probes.
func (c *TCPConn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return c.setKeepAlive(func(k *tcp.KeepAlive) {
		k.Off = !config.Enable
		setSeconds(&k.Idle, config.Idle)
		setSeconds(&k.Interval, config.Interval)
		if config.Count >= 0 {
			k.Count = config.Count
		}
	})
}

func setSeconds(d *time.Duration, to time.Duration) {
	if to >= 0 {
		*d = (min(to, maxKeepAlive+time.Second) + time.Second - 1).Truncate(time.Second)
	}
}

const (
	maxKeepAlive = 32767 * time.Second // MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL
	maxProbes    = 127                 // MAX_TCP_KEEPCNT
)

// setKeepAlive changes the keep-alive; zero means the default of the host.
func (c *TCPConn) setKeepAlive(change func(*tcp.KeepAlive)) error {
	return c.set(func() error {
		def := c.host.conf.KeepAlive
		k := def
		if o := c.options(); o.keepAlive != nil {
			k = *o.keepAlive
		}
		change(&k)
		k.Idle = cmp.Or(k.Idle, def.Idle)
		k.Interval = cmp.Or(k.Interval, def.Interval)
		k.Count = cmp.Or(k.Count, def.Count)
		if k.Idle > maxKeepAlive || k.Interval > maxKeepAlive || k.Count > maxProbes {
			return sysError("setsockopt", syscall.EINVAL)
		}
		c.options().keepAlive = &k
		c.later(func(now int64) { c.tcp().SetKeepAlive(tcp.Time(now), k) })
		return nil
	})
}

// SetReadBuffer fixes the size of the receive buffer in bytes, which ends its tuning.
func (c *TCPConn) SetReadBuffer(bytes int) error {
	return c.setBuffer(bytes, (*tcp.Conn).SetReadBuffer)
}

// SetWriteBuffer fixes the size of the send buffer in bytes, which ends its tuning.
func (c *TCPConn) SetWriteBuffer(bytes int) error {
	return c.setBuffer(bytes, (*tcp.Conn).SetWriteBuffer)
}

func (c *TCPConn) setBuffer(bytes int, set func(*tcp.Conn, int)) error {
	if bytes < 0 {
		return c.setError(sysError("setsockopt", syscall.EINVAL))
	}
	return c.control(c.setError, func() error {
		set(c.tcp(), bytes)
		return nil
	})
}

// set runs f, which sets a TCP option, on an open connection.
func (c *TCPConn) set(f func() error) error {
	return c.control(func(err error) error { return c.opError("set", err) }, f)
}

// setError names the local address only, as package net does for deadlines and
// buffers.
func (c *TCPConn) setError(err error) error {
	if err == nil {
		return nil
	}
	return opError("set", c.network(), nil, net.TCPAddrFromAddrPort(c.ends.local), err)
}

// control runs f on an open connection and makes the next step look at c.
func (c *TCPConn) control(wrap func(error) error, f func() error) error {
	return wrap(get(c.n, func() error {
		if c.closed || c.n.closed {
			return net.ErrClosed
		}
		err := f()
		c.submit(horizon{})
		return err
	}))
}
