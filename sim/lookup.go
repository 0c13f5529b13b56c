package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Go's resolver draws the IDs of its questions from a source without a seed, asks for A and AAAA
// from two goroutines at one instant, and reads files of the operating system. A lookup keeps all
// three from the network.

// A lookup is the socket of one question of Go's resolver to the stub of its host. It has no
// port until the engine takes the question, in the order of what is asked; and on the wire the
// question has an ID that follows from it.
type lookup struct {
	*UDPConn
	id     [2]byte // as the resolver drew it
	answer []byte  // to a question that is not asked
}

// look makes the socket for a question.
func (h *Host) look(ctx context.Context) (net.Conn, error) {
	u, err := try(h.n, func() (*UDPConn, error) {
		switch {
		case h.n.closed:
			return nil, net.ErrClosed
		case h.dead:
			return nil, sysError("socket", syscall.ENETDOWN)
		}
		u := newUDPConn(h, "udp", netip.AddrPortFrom(loopback, 0), stubResolver)
		h.table.udp[0] = append(h.table.udp[0], u)
		return u, nil
	})
	if err == nil && ctx.Err() != nil {
		u.Close()
		err = contextError(ctx.Err())
	}
	if err != nil {
		return nil, opError("dial", "udp", nil, net.UDPAddrFromAddrPort(stubResolver), err)
	}
	return &lookup{UDPConn: u}, nil
}

// Write sends the question.
func (l *lookup) Write(p []byte) (int, error) {
	if len(p) < dnsHeader {
		return 0, l.opError("write", sysError("write", syscall.EINVAL))
	}
	copy(l.id[:], p)
	query := slices.Clone(p)
	name, _ := question(query)
	asked := string(bytes.ToLower(query[dnsHeader:]))
	binary.BigEndian.PutUint16(query, uint16(hashString(asked)))
	if ofMachine(name) && !get(l.n, func() bool { return l.n.names.find(name) != nil }) {
		query[2] |= dnsResponse >> 8
		query[3] = dnsRecursion&0x80 | dnsNoSuchName
		l.answer = query
		return len(p), nil
	}
	if err := get(l.n, func() error { return l.ask(query, asked) }); err != nil {
		return 0, l.opError("write", err)
	}
	return len(p), nil
}

// ask leaves the question for the engine.
func (l *lookup) ask(query []byte, asked string) error {
	switch {
	case l.closed:
		return net.ErrClosed
	case l.write.expired():
		return os.ErrDeadlineExceeded
	}
	h, by := l.host, l.n.moment()
	way, _ := h.routeTo(loopback, stubResolver.Addr())
	l.n.submit(operation{host: h, kind: opDatagram, dest: asked, run: func(now int64) {
		if l.closed {
			return
		}
		port := h.udpPort(stubResolver)
		if port == 0 {
			l.err = syscall.EAGAIN
			l.in.q.notify(l.n, h)
			return
		}
		unlist(h.table.udp, 0, l.UDPConn)
		l.setPort(port)
		h.table.udp[port] = append(h.table.udp[port], l.UDPConn)
		l.transmit(now, query, by, l.local, stubResolver, way, false)
	}}, way.lookahead())
	return nil
}

// setPort completes the local address; no call of the program that knows it has returned yet.
//
//go:norace
func (u *UDPConn) setPort(port uint16) { u.local = netip.AddrPortFrom(u.local.Addr(), port) }

// Read returns the answer.
func (l *lookup) Read(p []byte) (k int, err error) {
	if l.answer != nil {
		k, l.answer = copy(p, l.answer), nil
	} else {
		k, err = l.UDPConn.Read(p)
	}
	if k >= len(l.id) {
		copy(p, l.id[:])
	}
	return k, err
}

// The operating system's files that Go's resolver reads. Variables for their test.
var (
	resolvConf = "/etc/resolv.conf"
	hostsFile  = "/etc/hosts"
)

// ofMachine says whether a name lies in a domain that the resolver appends to short names because
// the machine says so (resolv.conf(5), or else the domain of its own name).
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

// fieldsOf yields the fields of each line of a file, as far as there are any before a comment.
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

// tellTaken notes that the operating system's hosts file has h, which Go's resolver therefore takes
// for something else.
func (h *Host) tellTaken() {
	for _, name := range []string{h.name, h.addr.String()} {
		if h.n.names.taken[strings.ToLower(name)] {
			h.n.log.failures = append(h.n.log.failures, fmt.Sprintf("Host.Resolver: %s of the operating system has an entry for %q, a host of the network, "+
				"and Go's resolver looks there first. Give the host a name of its own, or have the program dial by Host.DialContext", hostsFile, name))
		}
	}
}
