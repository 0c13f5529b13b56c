package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Record is a resource record of the class IN.
type Record struct {
	Name   string
	Type   Type
	TTL    uint32 // seconds
	Data   []byte
	Target string // of a CNAME
}

// append writes r. Its name is a pointer to the name in the question (RFC 1035 section 4.1.4).
func (r *Record) append(b []byte, q *Query) []byte {
	if r.Name == q.Name {
		b = append(b, 0xc0, header)
	} else {
		b = AppendName(b, r.Name)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(r.Type))
	b = binary.BigEndian.AppendUint16(b, Internet)
	b = binary.BigEndian.AppendUint32(b, r.TTL)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Data)))
	return append(b, r.Data...)
}

// AppendName writes a name, which [CheckName] must accept.
func AppendName(b []byte, name string) []byte {
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label != "" {
			b = append(append(b, byte(len(label))), label...)
		}
	}
	return append(b, 0)
}

// CheckName returns an error if a name is not valid. The name may have a final dot. The root is valid.
func CheckName(name string) error {
	plain := strings.TrimSuffix(name, ".")
	if len(plain) > 253 {
		return errors.New("a name must not be longer than 253 bytes")
	}
	for label := range strings.SplitSeq(plain, ".") {
		switch {
		case label == "" && plain != "":
			return errors.New("a name must not have an empty part")
		case len(label) > 63:
			return errors.New("a part of a name must not be longer than 63 bytes")
		case strings.ContainsFunc(label, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' }):
			return errors.New("a name consists of visible ASCII characters other than the backslash")
		}
	}
	return nil
}

// MaxTTL is the longest time for which a record may be kept, in seconds (RFC 2181 section 8).
const MaxTTL = 1<<31 - 1

// Parse reads a record as it stands in a master file (RFC 1035 section 5.1), without its name: "A 10.0.0.2", "300 CNAME web.example", "SRV
// 10 5 80 web.example". ttl is used for a record without a TTL.
func Parse(text string, ttl uint32) (r Record, err error) {
	fields := strings.Fields(text)
	r.TTL = ttl
	if len(fields) > 0 {
		if seconds, err := strconv.ParseUint(fields[0], 10, 64); err == nil {
			if seconds > MaxTTL {
				return r, fmt.Errorf("the TTL must be at most %d s", MaxTTL)
			}
			r.TTL, fields = uint32(seconds), fields[1:]
		}
	}
	if len(fields) == 0 {
		return r, errors.New("want a type and its data, optionally after a TTL in seconds")
	}
	kind, args := strings.ToUpper(fields[0]), fields[1:]
	parse, ok := kinds[kind]
	if !ok {
		return r, fmt.Errorf("the type is %q: want A, AAAA, CNAME, MX, NS, PTR, SRV or TXT", fields[0])
	}
	if kind == "TXT" { // spaces in its text count
		_, rest, _ := strings.Cut(text, fields[0])
		args = []string{strings.TrimSpace(rest)}
	}
	err = parse(&r, args)
	return r, err
}

var kinds = map[string]func(*Record, []string) error{
	"A":    address(A),
	"AAAA": address(AAAA),
	"NS":   numbersAndName(NS, 0),
	"PTR":  numbersAndName(PTR, 0),
	"MX":   numbersAndName(MX, 1),
	"SRV":  numbersAndName(SRV, 3),
	"TXT":  texts,
	"CNAME": func(r *Record, args []string) error {
		err := numbersAndName(CNAME, 0)(r, args)
		if err == nil {
			r.Target = strings.ToLower(strings.TrimSuffix(args[0], "."))
		}
		return err
	},
}

func address(kind Type) func(*Record, []string) error {
	return func(r *Record, args []string) error {
		r.Type = kind
		if len(args) == 1 {
			if a, err := netip.ParseAddr(args[0]); err == nil && a.Zone() == "" && a.Is4() == (kind == A) {
				r.Data = a.AsSlice()
				return nil
			}
		}
		if kind == A {
			return errors.New("the data of A must be an IPv4 address")
		}
		return errors.New("the data of AAAA must be an IPv6 address")
	}
}

// numbersAndName returns a parser for the given number of 16-bit numbers, followed by a name.
func numbersAndName(kind Type, numbers int) func(*Record, []string) error {
	return func(r *Record, args []string) error {
		r.Type = kind
		if len(args) != numbers+1 {
			return fmt.Errorf("the data must be %d numbers and a name", numbers)
		}
		for _, a := range args[:numbers] {
			v, err := strconv.ParseUint(a, 10, 16)
			if err != nil {
				return fmt.Errorf("%q must be a number from 0 to 65535", a)
			}
			r.Data = binary.BigEndian.AppendUint16(r.Data, uint16(v))
		}
		if err := CheckName(args[numbers]); err != nil {
			return err
		}
		r.Data = AppendName(r.Data, args[numbers])
		return nil
	}
}

// texts parses quoted strings, or a single string without quotes. It divides strings of more than 255 bytes, as most name servers do.
func texts(r *Record, args []string) error {
	r.Type = TXT
	rest := args[0]
	var all []string
	if !strings.HasPrefix(rest, `"`) {
		all, rest = []string{rest}, ""
	}
	for rest != "" {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil || quoted[0] != '"' {
			return errors.New(`the data of TXT must be texts in quotes, such as "v=spf1 -all"`)
		}
		s, _ := strconv.Unquote(quoted)
		all, rest = append(all, s), strings.TrimSpace(rest[len(quoted):])
	}
	for _, s := range all {
		for first := true; first || s != ""; first = false {
			k := min(len(s), 255)
			r.Data = append(append(r.Data, byte(k)), s[:k]...)
			s = s[k:]
		}
	}
	if len(r.Data) > 1<<15 {
		return errors.New("the data of TXT must not be longer than 32 KiB")
	}
	return nil
}
