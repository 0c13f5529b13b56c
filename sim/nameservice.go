package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/squall-sim/squall/sim/internal/dns"
)

// ServeNames runs a name server on port 53 of h, over UDP and TCP, as a process of the host: a crash ends it,
// and after [Host.Restart] it answers again, with the records and faults that it had. Hosts with
// [Host.SetResolver] ask it, and any other DNS client can. It answers FORMERR to a malformed question, NOTIMP
// to zone transfers and updates, and REFUSED to classes other than IN.
//
// A Go program sees failures as a [*net.DNSError]:
//
//   - NXDOMAIN, and a name without an address, are IsNotFound at once.
//   - SERVFAIL from all servers is IsTemporary. Other codes set neither.
//   - Silence is IsTimeout and IsTemporary after 10 s. Go's timeout is 5 s for each try, so an answer 6 s
//     late is no answer.
//   - A server without a process is IsTemporary, by ECONNREFUSED. A host hears that six times at once, and
//     then once a second (see [ICMPCode]).
//
// Go's resolver caches nothing, so it does not matter to it whether a TTL is zero or long (but see
// [ResolverConfig]'s Cache).
//
// ServeNames panics if cfg is not valid or the port is taken.
func (h *Host) ServeNames(cfg NameServerConfig) *NameServer {
	h.must("ServeNames")
	h.n.mustSimulate("ServeNames")
	cfg, err := cfg.complete()
	if err != nil {
		panic(fmt.Sprintf("sim: host %s: ServeNames: NameServerConfig.%v", h.name, err))
	}
	s := &NameServer{host: h, conf: cfg, records: map[string][]dns.Record{}, wrong: map[*Fault][]dns.Record{}, turns: map[string]int{}}
	for name, records := range cfg.Records {
		s.records[checkedName("NameServer.Records", name, false)] = s.parse(name, records)
	}
	h.n.do(func() {
		s.made = h.n.moment()
		h.n.names.servers = append(h.n.names.servers, s)
	})
	s.tellTaken(s.names()...)
	boots := h.boots()
	first, err := s.open()
	if err != nil {
		panic(fmt.Sprintf("sim: host %s: ServeNames: %v", h.name, err))
	}
	h.Run("name server", func(ctx context.Context, h *Host) error {
		sockets := first
		if h.boots() != boots {
			var err error
			if sockets, err = s.open(); err != nil {
				return err
			}
		}
		sockets.serve(ctx, s)
		return nil
	})
	return s
}

const namePort = ":53"

// nameSockets are the sockets of a name server; there may be no listener.
type nameSockets struct {
	udp net.PacketConn
	tcp net.Listener
}

func (s *NameServer) open() (open nameSockets, err error) {
	if open.udp, err = s.host.ListenPacket("udp", namePort); err != nil || s.conf.NoTCP {
		return open, err
	}
	if open.tcp, err = s.host.Listen("tcp", namePort); err != nil {
		open.udp.Close()
	}
	return open, err
}

// serve answers until the context is done or the host is down.
func (o nameSockets) serve(ctx context.Context, s *NameServer) {
	var all sync.WaitGroup
	defer all.Wait()
	stop := context.AfterFunc(ctx, func() {
		o.udp.Close()
		if o.tcp != nil {
			o.tcp.Close()
		}
	})
	defer stop()
	if o.tcp != nil {
		all.Go(func() { s.accept(ctx, o.tcp, &all) })
	}
	s.answerDatagrams(o.udp)
}

// The most that a server keeps waiting, as a bound: answers over UDP, and connections as in BIND
// (tcp-clients).
const (
	mostLateAnswers = 10_000
	mostNameConns   = 150
)

// A lateAnswer is one that is due at a later instant.
type lateAnswer struct {
	at      time.Time
	to      net.Addr
	message []byte
}

// answerDatagrams answers questions over UDP. It is one goroutine, so that the answers of one instant have an
// order.
func (s *NameServer) answerDatagrams(u net.PacketConn) {
	var late []lateAnswer // the earliest first
	p := make([]byte, maxDatagram)
	for {
		var next time.Time
		if len(late) > 0 {
			next = late[0].at
		}
		u.SetReadDeadline(next)
		k, from, err := u.ReadFrom(p)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			for ; len(late) > 0 && !late[0].at.After(time.Now()); late = late[1:] {
				u.WriteTo(late[0].message, late[0].to)
			}
			continue
		}
		if err != nil {
			return
		}
		switch r := s.answer(p[:k], true); {
		case r.message == nil:
		case r.delay == 0:
			u.WriteTo(r.message, from)
		case len(late) < mostLateAnswers:
			at := time.Now().Add(r.delay)
			i := len(late)
			for i > 0 && late[i-1].at.After(at) {
				i--
			}
			late = slices.Insert(late, i, lateAnswer{at, from, r.message})
		}
	}
}

// acceptAgain is how long a server that got EMFILE waits before it accepts again: the longest wait of
// net/http's Server.
const acceptAgain = time.Second

// accept answers over TCP.
func (s *NameServer) accept(ctx context.Context, l net.Listener, all *sync.WaitGroup) {
	var mu sync.Mutex
	open := 0
	for {
		c, err := l.Accept()
		if errors.Is(err, syscall.EMFILE) { // others use up the host's limit of descriptors
			select {
			case <-ctx.Done():
				return
			case <-time.After(acceptAgain):
				continue
			}
		}
		if err != nil {
			return
		}
		mu.Lock()
		full := open == mostNameConns
		if !full {
			open++
		}
		mu.Unlock()
		if full {
			c.Close()
			continue
		}
		all.Go(func() {
			s.answerStream(ctx, c)
			c.Close()
			mu.Lock()
			open--
			mu.Unlock()
		})
	}
}

// nameConnIdle is how long a connection may be silent before it ends; BIND's tcp-idle-timeout.
const nameConnIdle = 30 * time.Second

// answerStream answers the questions of one connection, in order; each has its length in front (RFC 1035
// section 4.2.2).
func (s *NameServer) answerStream(ctx context.Context, c net.Conn) {
	for {
		c.SetDeadline(time.Now().Add(nameConnIdle))
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		message := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(c, message); err != nil {
			return
		}
		r := s.answer(message, false)
		if r.message == nil {
			continue
		}
		if r.delay > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(r.delay):
			}
			c.SetDeadline(time.Now().Add(nameConnIdle))
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r.message))), r.message...)); err != nil {
			return
		}
	}
}

// A ResolverConfig says how the programs of a host look up names.
type ResolverConfig struct {
	// Servers are the hosts whose name servers are asked, one or two. A program asks the first. If that does
	// not answer, or answers with an error other than NXDOMAIN, it asks the second, or the first again if
	// there is no second. Each has 5 s. (These are Go's defaults for timeout and attempts in resolv.conf(5);
	// the operating system's are not used.)
	Servers []*Host

	// Search lists the domains for short names. A name with fewer than Ndots dots is looked up in these
	// domains before it is taken for a complete name; any other name, after. A name that ends with a dot is
	// complete. Search applies to what a host dials; [Host.Resolver] does not search.
	Search []string

	// Ndots is how many dots a name must have to be tried as a complete name first. Default 1; Kubernetes
	// sets 5.
	Ndots int

	// Cache makes the host keep answers for as long as their TTL allows, including that nothing was found
	// (RFC 2308), as systemd-resolved and nscd do. It keeps at most 4096 of them, until it crashes. Go's
	// resolver itself keeps nothing.
	Cache bool
}

// SetResolver makes the programs of h ask name servers: in [Host.Resolver], and in every dial for a name
// other than localhost. By default they ask a stub on the host itself (see [Host.Resolver]), and a dial takes
// no time to look up a name. A name with several addresses is dialled as package net does it: one address
// after the other, each with its share of the time that is left, and IPv4 in parallel with IPv6
// ([Dialer.FallbackDelay]). SetResolver panics if cfg is not valid.
func (h *Host) SetResolver(cfg ResolverConfig) {
	h.must("SetResolver")
	h.n.mustSimulate("SetResolver")
	fail := func(format string, args ...any) {
		panic(fmt.Sprintf("sim: host %s: SetResolver: ResolverConfig.", h.name) + fmt.Sprintf(format, args...))
	}
	if len(cfg.Servers) < 1 || len(cfg.Servers) > lookupTries {
		fail("Servers: there are %d, and must be 1 or 2", len(cfg.Servers))
	}
	r := &resolving{ndots: cfg.Ndots, cache: cfg.Cache, resolver: h.Resolver()}
	for i, s := range cfg.Servers {
		if s == nil || s.n != h.n {
			fail("Servers[%d]: must be a host of the network", i)
		}
		r.servers = append(r.servers, s)
	}
	for i, domain := range cfg.Search {
		if err := dns.CheckName(domain); err != nil || domain == "" || domain == "." {
			fail("Search[%d] = %q: must be the name of a domain", i, domain)
		}
		r.search = append(r.search, domain)
	}
	switch {
	case cfg.Ndots < 0 || cfg.Ndots > 15:
		fail("Ndots = %d: must be from 0 to 15 (resolv.conf(5))", cfg.Ndots)
	case cfg.Ndots == 0:
		r.ndots = 1
	}
	h.n.do(func() {
		r.by, h.resolver.conf = h.n.moment(), r
		h.resolver.kept = nil
	})
}

// A resolving is a checked ResolverConfig.
type resolving struct {
	by       moment
	servers  []*Host
	search   []string
	ndots    int
	cache    bool
	resolver *net.Resolver // one for all dials, so that those of one instant share a lookup
}

// server returns the server that a try asks.
func (r *resolving) server(try int) netip.AddrPort {
	return netip.AddrPortFrom(r.servers[try%len(r.servers)].addr, 53)
}
