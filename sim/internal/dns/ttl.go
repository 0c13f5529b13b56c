package dns

import "encoding/binary"

// TTL returns for how long a client may keep an answer, in seconds: the smallest TTL of its records. If there is no such name or record, it
// is the TTL of the SOA record in the answer, or that record's minimum if that is smaller (RFC 2308 section 5). It is 0 for messages that
// must not be kept: other codes, and truncated or malformed messages.
func TTL(message []byte) uint32 {
	if len(message) < header {
		return 0
	}
	flags := binary.BigEndian.Uint16(message[2:])
	code := Code(flags & 15)
	if flags&truncated != 0 || code != Success && code != NXDomain {
		return 0
	}
	count := func(i int) int { return int(binary.BigEndian.Uint16(message[4+2*i:])) }
	at := header
	for range count(0) {
		if at = skipName(message, at); at == 0 || at+4 > len(message) {
			return 0
		}
		at += 4
	}
	least, negative := uint32(MaxTTL), uint32(0)
	answers := 0
	for i := range count(1) + count(2) {
		if at = skipName(message, at); at == 0 || at+10 > len(message) {
			return 0
		}
		kind, ttl := Type(binary.BigEndian.Uint16(message[at:])), binary.BigEndian.Uint32(message[at+4:])
		end := at + 10 + int(binary.BigEndian.Uint16(message[at+8:]))
		switch {
		case end > len(message):
			return 0
		case i < count(1):
			least = min(least, ttl)
			if kind != CNAME {
				answers++
			}
		case kind == SOA && end-at >= 14:
			negative = min(ttl, binary.BigEndian.Uint32(message[end-4:]))
		}
		at = end
	}
	if answers == 0 {
		return min(least, negative)
	}
	return least
}

// skipName returns the index of the end of a name, which may end with a pointer, or 0 if the name does not end.
func skipName(message []byte, at int) int {
	for at < len(message) {
		switch length := int(message[at]); {
		case length == 0:
			return at + 1
		case length >= 0xc0:
			return at + 2
		default:
			at += 1 + length
		}
	}
	return 0
}
