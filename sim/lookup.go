package sim

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Go's resolver draws the IDs of its questions from an unseeded source, asks for A and AAAA from two
// goroutines at one instant, and reads files of the operating system. A lookup keeps all three from the
// network.

// A lookup is the socket of one question of Go's resolver to the stub of its host, or to a name server. It
// has no port until the engine takes the question, in the order of what is asked. On the wire the question
// has an ID that follows from it.
type lookup struct {
	*UDPConn
	question
	complete bool      // the name has no search domain of the operating system, for certain
	deadline time.Time // set before the question is known
}

// look makes the socket for a question.
func (h *Host) look(ctx context.Context) (net.Conn, error) {
	u, err := try(h.n, func() (*UDPConn, error) {
		if err := h.maySocket(); err != nil {
			return nil, err
		}
		u := newUDPConn(h, "udp", false, netip.AddrPortFrom(loopback, 0), stubResolver)
		u.fd = h.fds.take()
		h.table.udp.add(0, u)
		return u, nil
	})
	if err == nil && ctx.Err() != nil {
		u.Close()
		err = contextError(ctx.Err())
	}
	if err != nil {
		return nil, opError("dial", "udp", nil, net.UDPAddrFromAddrPort(stubResolver), err)
	}
	return &lookup{UDPConn: u, complete: ctx.Value(completeName{}) != nil}, nil
}

// Write sends the question.
func (l *lookup) Write(p []byte) (int, error) {
	if len(p) < dnsHeader {
		return 0, l.opError("write", sysError("write", syscall.EINVAL))
	}
	h := l.host
	query := l.take(p)
	name, _ := questionOf(query)
	if !l.complete && ofMachine(name) && !l.n.serves(name) {
		query[2] |= dnsResponse >> 8
		query[3] = dnsRecursion&0x80 | dnsNoSuchName
		l.answer = query
		return len(p), nil
	}
	next := get(l.n, func() nextTry {
		if h.resolver.conf == nil {
			return nextTry{server: stubResolver}
		}
		return h.resolver.next(l.n, l.asked, false)
	})
	if next.server != stubResolver && !l.begin(next) {
		return len(p), nil
	}
	err := get(l.n, func() error {
		l.setDeadline()
		return l.ask(query, l.asked, next.server)
	})
	if err != nil {
		l.heard(nil, err)
		return 0, l.opError("write", err)
	}
	return len(p), nil
}

// ask leaves the question for the engine.
func (l *lookup) ask(query []byte, asked string, server netip.AddrPort) error {
	switch {
	case l.closed:
		return net.ErrClosed
	case l.write.expired():
		return os.ErrDeadlineExceeded
	}
	h, by := l.host, l.n.moment()
	l.setRemote(h.sourceFor(server.Addr()), server)
	way, refused := h.routeTo(l.local.Addr(), server.Addr())
	if way == nil {
		return sysError("write", refused)
	}
	l.n.submit(operation{host: h, kind: opDatagram, dest: asked, run: func(now int64) {
		if l.closed {
			return
		}
		port := h.udpPort(server)
		if port == 0 {
			l.err = syscall.EAGAIN
			l.in.q.notify(l.n, h)
			return
		}
		h.table.udp.remove(0, l.UDPConn)
		l.setPort(port)
		h.table.udp.add(port, l.UDPConn)
		l.transmit(now, datagram{from: l.local, by: by, data: query}, server, l.flowTo(server, way), MTUDiscoverWant, refused != 0)
	}}, way.lookahead())
	if refused != 0 {
		return sysError("write", refused)
	}
	return nil
}

// setPort completes the local address; no call of the program that knows it has returned yet.
//
//go:norace
func (u *UDPConn) setPort(port uint16) { u.local = netip.AddrPortFrom(u.local.Addr(), port) }

// setRemote is setPort for the server, and the address from which it is asked.
//
//go:norace
func (u *UDPConn) setRemote(source netip.Addr, server netip.AddrPort) {
	u.local, u.remote, u.six = netip.AddrPortFrom(source, 0), server, server.Addr().Is6()
}

// Read returns the answer.
func (l *lookup) Read(p []byte) (k int, err error) {
	switch {
	case l.fails != nil:
		return 0, l.opError("read", l.fails)
	case l.answer != nil:
		k, l.answer = copy(p, l.answer), nil
	default:
		if l.asked == "" {
			l.setDeadlines(l.deadline, &l.in.deadline, &l.write)
		}
		k, err = l.UDPConn.Read(p)
		l.heard(p[:k], err)
	}
	if k >= len(l.id) {
		copy(p, l.id[:])
	}
	return k, err
}

// SetDeadline is that of a connection. The resolver takes its timeout from the operating system's
// resolv.conf. It counts from when the question is known: the order of deadlines at one instant follows from
// what is asked.
func (l *lookup) SetDeadline(t time.Time) error {
	l.deadline = ofNetwork(l.patience(t))
	if l.asked == "" {
		return nil
	}
	return l.setDeadlines(l.deadline, &l.in.deadline, &l.write)
}

// setDeadline is SetDeadline with the question.
func (l *lookup) setDeadline() {
	l.in.deadline.set(l.n, l.deadline)
	l.write.set(l.n, l.deadline)
	l.n.queue.schedule(l.UDPConn, classDeadline, 1<<61|hashString(l.asked)>>4)
	l.n.wakeAt(l.next(classDeadline))
}

// Close ends the question.
func (l *lookup) Close() error {
	l.end(l.host)
	return l.UDPConn.Close()
}

// The operating system's files that Go's resolver reads. Variables for their test.
var (
	resolvConf = "/etc/resolv.conf"
	hostsFile  = "/etc/hosts"
)

// ofMachine reports whether a name is in a domain that the resolver appends to short names because of the
// machine's settings (resolv.conf(5), or else the domain of its own name).
func ofMachine(name string) bool {
	var domains []string
	for fields := range fieldsOf(resolvConf) {
		switch {
		case fields[0] == "search":
			domains = fields[1:]
		case fields[0] == "domain" && len(fields) > 1:
			domains = fields[1:2]
		}
	}
	if len(domains) == 0 {
		machine, _ := os.Hostname()
		if _, domain, _ := strings.Cut(machine, "."); domain != "" {
			domains = []string{domain}
		}
	}
	return slices.ContainsFunc(domains, func(domain string) bool {
		domain = strings.ToLower(strings.Trim(domain, "."))
		return domain != "" && strings.HasSuffix(strings.ToLower(name), "."+domain)
	})
}

// namesOfMachine are the names and addresses in the operating system's hosts file.
func namesOfMachine() map[string]bool {
	names := map[string]bool{}
	for fields := range fieldsOf(hostsFile) {
		if _, err := netip.ParseAddr(fields[0]); err == nil {
			for _, name := range fields {
				names[strings.ToLower(strings.TrimSuffix(name, "."))] = true
			}
		}
	}
	return names
}

// fieldsOf yields the fields of each line of a file, without comments, where there are any.
func fieldsOf(file string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		text, _ := os.ReadFile(file)
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			line, _, _ := strings.Cut(lines.Text(), "#")
			if fields := strings.Fields(line); len(fields) > 0 && !yield(fields) {
				return
			}
		}
	}
}

// tellAllTaken reads the operating system's hosts file, and records which of the network's names it has.
func (n *Network) tellAllTaken() {
	taken := namesOfMachine()
	first := get(n, func() bool {
		if n.names.taken != nil {
			return false
		}
		n.names.taken = taken
		for _, h := range n.names.inOrder {
			h.tellTaken()
		}
		return true
	})
	if first {
		for s := range n.nameServers() {
			s.tellTaken(s.names()...)
		}
	}
}

// tellTaken records that the operating system's hosts file has h, so that Go's resolver takes h for something
// else.
func (h *Host) tellTaken() {
	h.n.tellTaken(h.name, "a host of the network")
	for _, a := range h.addresses.list {
		h.n.tellTaken(a.String(), "a host of the network")
	}
}

// tellTaken does the same for names of which s has records.
func (s *NameServer) tellTaken(names ...string) {
	s.host.n.do(func() {
		for _, name := range names {
			s.host.n.tellTaken(name, "of which a name server has records")
		}
	})
}

func (n *Network) tellTaken(name, what string) {
	if n.names.taken[strings.ToLower(name)] {
		n.log.failures = append(n.log.failures, fmt.Sprintf("Host.Resolver: %s of the operating system has an entry for %q, %s, "+
			"and Go's resolver looks there first. Use another name, or make the program dial with Host.DialContext", hostsFile, name, what))
	}
}
