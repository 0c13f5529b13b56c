// Package dns reads the queries that name servers receive, and writes their answers (RFC 1035; EDNS, RFC 6891).
package dns

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// A Code is the result of a query (RFC 1035 section 4.1.1).
type Code uint16

// Codes; those above 15 need EDNS.
const (
	Success     Code = 0
	FormatError Code = 1
	ServFail    Code = 2
	NXDomain    Code = 3
	NotImp      Code = 4
	Refused     Code = 5
	BadVersion  Code = 16
)

// A Type is the type of a record (RFC 1035 section 3.2.2, RFC 3596, RFC 2782).
type Type uint16

// Types.
const (
	A     Type = 1
	NS    Type = 2
	CNAME Type = 5
	SOA   Type = 6
	PTR   Type = 12
	MX    Type = 15
	TXT   Type = 16
	AAAA  Type = 28
	SRV   Type = 33
	OPT   Type = 41
	IXFR  Type = 251 // from here up to Any: transfers of zones, and obsolete types for mail
	Any   Type = 255
)

// Internet is the class of all records.
const Internet = 1

// MinUDP is the size of an answer over UDP that every client accepts, in bytes (RFC 1035 section 4.2.1).
const MinUDP = 512

const (
	header    = 12
	response  = 1 << 15
	opcode    = 15 << 11
	truncated = 1 << 9
	desired   = 1 << 8
	available = 1 << 7
)

// A Query is a client's query.
type Query struct {
	Name  string // without the final dot, in lower case
	Type  Type
	Class uint16
	Code  Code // the error in the query itself, or Success
	EDNS  bool
	Size  int // largest answer over UDP that the client accepts, in bytes

	id, flags uint16
	question  []byte // the question as it stands in the message
}

// Read reads a query. If the query is malformed, q has a Code that says so. If ok is false, the message is not a query, and must not be
// answered.
func Read(message []byte) (q Query, ok bool) {
	if len(message) < header {
		return q, false
	}
	q.id, q.flags = binary.BigEndian.Uint16(message), binary.BigEndian.Uint16(message[2:])
	if q.flags&response != 0 {
		return q, false
	}
	q.Size = MinUDP
	if q.flags&opcode != 0 {
		q.Code = NotImp
		return q, true
	}
	if !q.read(message) {
		q = Query{id: q.id, flags: q.flags, Size: MinUDP, Code: FormatError}
	}
	return q, true
}

// read reads the message after the header, and reports whether it is well formed.
func (q *Query) read(message []byte) bool {
	count := func(i int) int { return int(binary.BigEndian.Uint16(message[4+2*i:])) }
	if count(0) != 1 || count(1) != 0 || count(2) != 0 {
		return false
	}
	name, end := readName(message, header)
	if end == 0 || end+4 > len(message) {
		return false
	}
	q.Name = name
	q.Type = Type(binary.BigEndian.Uint16(message[end:]))
	q.Class = binary.BigEndian.Uint16(message[end+2:])
	at := end + 4
	q.question = append([]byte(nil), message[header:at]...)
	for range count(3) {
		_, end = readName(message, at)
		if end == 0 || end+10 > len(message) {
			return false
		}
		kind, class := Type(binary.BigEndian.Uint16(message[end:])), binary.BigEndian.Uint16(message[end+2:])
		version := message[end+5]
		length := int(binary.BigEndian.Uint16(message[end+8:]))
		if kind == OPT {
			if q.EDNS || end != at+1 {
				return false // a second record, or one whose name is not the root
			}
			q.EDNS, q.Size = true, max(MinUDP, int(class))
			if version > 0 {
				q.Code = BadVersion
			}
		}
		if at = end + 10 + length; at > len(message) {
			return false
		}
	}
	return true
}

// readName reads the name that begins at index at of a message, and returns the index of its end, or 0 if the name is not well formed. It
// accepts no pointer, because a question has nothing before it to point to.
func readName(message []byte, at int) (name string, end int) {
	var labels strings.Builder
	for begin := at; at < len(message) && at-begin < 255; {
		length := int(message[at])
		at++
		if length == 0 {
			return labels.String(), at
		}
		if length > 63 || at+length > len(message) {
			return "", 0
		}
		if labels.Len() > 0 {
			labels.WriteByte('.')
		}
		for _, c := range message[at : at+length] {
			switch {
			case c == '.' || c == '\\':
				labels.Write([]byte{'\\', c})
			case c < '!' || c > '~':
				fmt.Fprintf(&labels, `\%03d`, c)
			case 'A' <= c && c <= 'Z':
				labels.WriteByte(c + 'a' - 'A')
			default:
				labels.WriteByte(c)
			}
		}
		at += length
	}
	return "", 0
}

// An Answer is a server's answer to a Query.
type Answer struct {
	Code      Code
	Records   []Record
	Authority []Record
	Truncated bool // mark the answer as truncated even if it would fit
	Size      int  // largest size of the message, in bytes; a longer one is truncated; with EDNS, the size announced to the client
}

// Append writes the message that answers q. If some records do not fit, it leaves them out and marks the message as truncated (RFC 2181
// section 9).
func (a Answer) Append(b []byte, q *Query) []byte {
	begin := len(b)
	limit := begin + a.Size
	flags := response | q.flags&(opcode|desired) | available | uint16(a.Code)&15
	b = binary.BigEndian.AppendUint16(b, q.id)
	b = append(b, make([]byte, header-2)...)
	var counts [4]uint16
	if q.question != nil {
		counts[0] = 1
		b = append(b, q.question...)
	}
	var opt []byte
	if q.EDNS {
		opt = append(opt, 0, 0, byte(OPT))
		opt = binary.BigEndian.AppendUint16(opt, uint16(min(a.Size, 4096)))
		opt = append(opt, byte(a.Code>>4), 0, 0, 0, 0, 0)
		counts[3] = 1
	}
	if a.Truncated {
		flags |= truncated
	}
	for i, records := range [][]Record{1: a.Records, 2: a.Authority} {
		for _, r := range records {
			if flags&truncated != 0 {
				break
			}
			next := r.append(b, q)
			if len(next)+len(opt) > limit {
				flags |= truncated
				break
			}
			b = next
			counts[i]++
		}
	}
	b = append(b, opt...)
	binary.BigEndian.PutUint16(b[begin+2:], flags)
	for i, n := range counts {
		binary.BigEndian.PutUint16(b[begin+4+2*i:], n)
	}
	return b
}
