package sim

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// The stub resolver that every host runs, at the address that systemd-resolved uses.
var stubResolver = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 53}), 53)

// Resolver returns Go's own resolver on h. It sends real DNS packets over the host's loopback to a stub. The
// stub knows the names and addresses of the network's hosts, both ways (A, AAAA, PTR), and localhost, and has
// no data of other types. A name that no host has does not exist (NXDOMAIN). After [Host.SetResolver] the
// resolver asks name servers over the network instead.
//
// Go's resolver sorts addresses by the routes of the operating system's own network: whether IPv6 comes first
// depends on the machine. [Host.DialContext] sorts them by the routes of the host.
//
// Go's resolver reads the operating system's files, whichever name server it asks. A name that it forms from
// a short name and a search domain of /etc/resolv.conf is not looked up, unless it is a host of the network
// or a name server has records of it. It reads /etc/hosts first: a test fails if that file has a name or an
// address of the network. The name server in an error is the operating system's; [net.DNSError]'s Err, Name
// and IsNotFound are the simulation's.
func (h *Host) Resolver() *net.Resolver {
	h.must("Resolver")
	h.n.tellAllTaken()
	return &net.Resolver{
		PreferGo: true,
		Dial:     h.lookUp,
	}
}

// DNS constants of RFC 1035 section 4.1 and 3.2.
const (
	dnsHeader       = 12
	dnsResponse     = 1 << 15
	dnsOpcode       = 15 << 11
	dnsRecursion    = 1<<8 | 1<<7 // desired and available
	dnsFormatError  = 1
	dnsNoSuchName   = 3
	dnsNotSupported = 4
	dnsTypeA        = 1
	dnsTypePTR      = 12
	dnsTypeAAAA     = 28
	dnsClassIN      = 1
	dnsTTL          = 0 // the address may change at any time
)

// answerName is the stub resolver: it returns the answer to a query, or nil for anything else. The host's
// lock is held.
func (h *Host) answerName(query []byte) []byte {
	if len(query) < dnsHeader || query[2]&(dnsResponse>>8) != 0 {
		return nil
	}
	flags := binary.BigEndian.Uint16(query[2:])
	name, end := questionOf(query)
	answer := make([]byte, dnsHeader, 512)
	copy(answer, query[:2])
	code := uint16(0)
	switch {
	case flags&dnsOpcode != 0:
		code = dnsNotSupported
	case end == 0:
		code = dnsFormatError
	default:
		answer = append(answer, query[dnsHeader:end]...)
		answer[5] = 1 // one question
		kind := binary.BigEndian.Uint16(query[end-4:])
		class := binary.BigEndian.Uint16(query[end-2:])
		records, exists := h.resources(name, kind)
		switch {
		case !exists:
			code = dnsNoSuchName
		case class == dnsClassIN:
			for _, data := range records {
				answer[7]++                                                                        // answers,
				answer = append(answer, 0xc0, dnsHeader, byte(kind>>8), byte(kind), 0, dnsClassIN) // for the name of the question
				answer = binary.BigEndian.AppendUint32(answer, dnsTTL)
				answer = binary.BigEndian.AppendUint16(answer, uint16(len(data)))
				answer = append(answer, data...)
			}
		}
	}
	binary.BigEndian.PutUint16(answer[2:], dnsResponse|flags&dnsOpcode|dnsRecursion|code)
	return answer
}

// resources returns what the network knows of that type for a name, or nil, and whether the name exists.
// Names that exist are those of hosts, names of services below them (RFC 8552, "_http._tcp.server"), and
// names of addresses for reverse lookups.
func (h *Host) resources(name string, kind uint16) (records [][]byte, exists bool) {
	if addr, ok := reverseAddr(name); ok {
		host := h.n.names.reverse(addr)
		if host != "" && kind == dnsTypePTR {
			var data []byte
			for label := range strings.SplitSeq(host, ".") {
				data = append(append(data, byte(len(label))), label...)
			}
			records = append(records, append(data, 0))
		}
		return records, host != ""
	}
	if own := strings.ToLower(name); own == "localhost" || strings.HasSuffix(own, ".localhost") { // RFC 6761 section 6.3
		switch {
		case kind == dnsTypeA:
			records = append(records, loopback.AsSlice())
		case kind == dnsTypeAAAA && h.addresses.ipv6:
			records = append(records, loopback6.AsSlice())
		}
		return records, true
	}
	host := h.n.names.find(name)
	if host != nil {
		for _, a := range host.addresses.list {
			if kind == dnsTypeA && a.Is4() || kind == dnsTypeAAAA && a.Is6() {
				records = append(records, a.AsSlice())
			}
		}
	}
	if a := h.n.names.middlebox(name); a.IsValid() {
		if kind == dnsTypeA {
			records = append(records, a.AsSlice())
		}
		return records, true
	}
	for service := name; host == nil && strings.HasPrefix(service, "_"); host = h.n.names.find(service) {
		_, service, _ = strings.Cut(service, ".")
	}
	return records, host != nil
}

// reverseAddr returns the address that a name for a reverse lookup stands for (RFC 1035 section 3.5, RFC 3596
// section 2.5). It is invalid if the name has no valid numbers.
func reverseAddr(name string) (addr netip.Addr, ok bool) {
	name = strings.ToLower(name)
	if numbers, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(numbers, ".")
		slices.Reverse(parts)
		if addr, _ = netip.ParseAddr(strings.Join(parts, ".")); !addr.Is4() {
			return netip.Addr{}, true
		}
		return addr, true
	}
	digits, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok {
		return netip.Addr{}, false
	}
	parts := strings.Split(digits, ".")
	slices.Reverse(parts)
	var b [16]byte
	if n, err := hex.Decode(b[:], []byte(strings.Join(parts, ""))[:min(len(b)*2, len(parts))]); err != nil || n != len(b) || len(parts) != 2*n || len(digits) != 4*n-1 {
		return netip.Addr{}, true
	}
	return netip.AddrFrom16(b), true
}

// reverse returns the name for an address, or "".
func (r *registry) reverse(addr netip.Addr) string {
	if addr == loopback || addr == loopback6 {
		return "localhost"
	}
	if d := r.byAddr[addr]; d != nil && d.host != nil && d.host.has(addr) {
		return d.name
	}
	return ""
}

// questionOf returns the name that a query asks for, and where the question ends; 0 if there is not exactly
// one well-formed question.
func questionOf(q []byte) (name string, end int) {
	if binary.BigEndian.Uint16(q[4:]) != 1 {
		return "", 0
	}
	var labels []string
	for i := dnsHeader; i < len(q); {
		length := int(q[i])
		if length == 0 {
			if i+5 > len(q) {
				return "", 0
			}
			return strings.Join(labels, "."), i + 5
		}
		if length > 63 || i+1+length > len(q) {
			return "", 0
		}
		labels = append(labels, string(q[i+1:i+1+length]))
		i += 1 + length
	}
	return "", 0
}
