package sim

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/sim/internal/dns"
)

// A NameServerConfig says what a name server knows. Every name server knows the names and addresses of the
// network's hosts, both ways, except where Records say otherwise. The zero value knows nothing else.
type NameServerConfig struct {
	// Records are the records of each name in the form of a master file (RFC 1035 section 5.1), without the
	// name: "A 10.0.0.2", "AAAA 2001:db8::2", "CNAME web.example", "MX 10 mail.example", "NS ns.example",
	// "PTR web.example", "SRV 10 5 80 web.example", `TXT "v=spf1 -all"`. A number before the type is a TTL in
	// seconds. Names are always complete, with or without the final dot. A name "*.example" stands for each
	// name below example that does not exist, unless a domain between the two does (RFC 4592). A name with an
	// empty list does not exist, even if a host has that name.
	Records map[string][]string

	// TTL is how long clients may keep records without a TTL of their own, and the answer that something does
	// not exist (RFC 2308). It is in whole seconds, at most 2^31-1. Default 1 minute.
	TTL time.Duration

	// RoundRobin rotates the records of a name: each answer begins with the record after the one with which
	// the previous answer began. By default they come in the order of Records.
	RoundRobin bool

	// MaxUDP is the size of the largest answer over UDP, in bytes, from 512 to 65507. The server truncates a
	// longer answer, and clients ask again over TCP. Default 1232, as in common servers since the DNS flag
	// day of 2020. A client accepts 512 bytes unless it says otherwise by EDNS; Go's resolver says 1232.
	MaxUDP int

	// NoTCP makes the server listen on UDP alone, so that it refuses TCP.
	NoTCP bool
}

const defaultNameTTL = time.Minute

// complete checks c and fills in the defaults.
func (c NameServerConfig) complete() (NameServerConfig, error) {
	if c.TTL == 0 {
		c.TTL = defaultNameTTL
	}
	if c.TTL < 0 || c.TTL%time.Second != 0 || c.TTL/time.Second > dns.MaxTTL {
		return c, fmt.Errorf("TTL = %v: must be whole seconds from 0 to %d s", c.TTL, dns.MaxTTL)
	}
	if c.MaxUDP == 0 {
		c.MaxUDP = 1232
	}
	if c.MaxUDP < dns.MinUDP || c.MaxUDP > maxDatagram {
		return c, fmt.Errorf("MaxUDP = %d: must be from %d to %d bytes", c.MaxUDP, dns.MinUDP, maxDatagram)
	}
	return c, nil
}

// A NameServer answers questions about names on its host: see [Host.ServeNames]. Its methods may be called
// while it runs, or at a later instant with [Network.After]. Where they take a name, the empty name stands
// for all names; a setting for one name takes precedence.
type NameServer struct {
	host *Host
	made moment
	conf NameServerConfig

	troubles []nameTrouble // guarded by the network's lock

	mu      sync.Mutex
	records map[string][]dns.Record // by name, in lower case and without the final dot
	wrong   map[*Fault][]dns.Record // those of MisleadNames
	turns   map[string]int          // with RoundRobin: number of answers so far
}

// A NameCode is the code with which a name server says that it has no answer (RFC 1035 section 4.1.1).
type NameCode int

// Codes for [NameServer.Fail].
const (
	NameFormatError NameCode = NameCode(dns.FormatError) // FORMERR: the server does not understand the question
	NameServerFails NameCode = NameCode(dns.ServFail)    // SERVFAIL: the server, or one that it asks, has a problem
	NameNotFound    NameCode = NameCode(dns.NXDomain)    // NXDOMAIN: the name does not exist
	NameNotDone     NameCode = NameCode(dns.NotImp)      // NOTIMP: the server does not do that
	NameRefused     NameCode = NameCode(dns.Refused)     // REFUSED: the server will not say
)

var nameCodes = map[NameCode]string{
	NameFormatError: "FORMERR", NameServerFails: "SERVFAIL", NameNotFound: "NXDOMAIN", NameNotDone: "NOTIMP", NameRefused: "REFUSED",
}

// String returns the mnemonic of the code: "SERVFAIL".
func (c NameCode) String() string {
	if s, ok := nameCodes[c]; ok {
		return s
	}
	return fmt.Sprintf("NameCode(%d)", int(c))
}

// checkedName returns a name in the form of the maps' keys. It panics if the name is not valid; the empty
// name is only allowed where it stands for all.
func checkedName(method, name string, all bool) string {
	err := dns.CheckName(name)
	if err == nil && (name == "" && !all || name == ".") {
		err = fmt.Errorf("the name must not be empty")
	}
	if err != nil {
		panic(fmt.Sprintf("sim: %s(%q): %v", method, name, err))
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// Set replaces the records of a name, in the form of [NameServerConfig]'s Records. Without records the name
// no longer exists. Clients see the change when they next ask. Set panics if a record is not valid.
func (s *NameServer) Set(name string, records ...string) {
	key := checkedName("NameServer.Set", name, false)
	parsed := s.parse(name, records)
	s.mu.Lock()
	s.records[key] = parsed
	s.mu.Unlock()
	s.host.n.do(func() { s.host.n.note(&s.host.node, nil, "names: "+name+" is "+inWords(records)) })
	if len(records) > 0 {
		s.tellTaken(key)
	}
}

func inWords(records []string) string {
	if len(records) == 0 {
		return "gone"
	}
	return strings.Join(records, ", ")
}

func (s *NameServer) parse(name string, records []string) []dns.Record {
	parsed := make([]dns.Record, 0, len(records))
	for _, text := range records {
		r, err := dns.Parse(text, uint32(s.conf.TTL/time.Second))
		if err != nil {
			panic(fmt.Sprintf("sim: NameServer: the record %q of %q: %v", text, name, err))
		}
		parsed = append(parsed, r)
	}
	if len(parsed) > 1 && slices.ContainsFunc(parsed, func(r dns.Record) bool { return r.Type == dns.CNAME }) {
		panic(fmt.Sprintf("sim: NameServer: the records of %q: a name with a CNAME has no other records (RFC 2181 section 10.1)", name))
	}
	return parsed
}

// Fail makes the server answer questions about a name with a code, until [NameServer.Heal]. It panics if code
// is not one of the declared constants.
func (s *NameServer) Fail(name string, code NameCode) {
	s.begin(s.failing("NameServer.Fail", name, code))
}

// Silence makes the server ignore questions about a name, until [NameServer.Heal]. Go's resolver waits for
// 5 s, and asks twice.
func (s *NameServer) Silence(name string) { s.begin(s.silent("NameServer.Silence", name)) }

// Delay makes answers about a name take longer by a time, until [NameServer.Heal]. Over UDP the server
// answers other questions meanwhile. Delay panics unless by is positive.
func (s *NameServer) Delay(name string, by time.Duration) {
	s.begin(s.late("NameServer.Delay", name, by))
}

// Truncate makes the server answer questions about a name over UDP without records and marked as truncated,
// so that clients ask again over TCP, until [NameServer.Heal].
func (s *NameServer) Truncate(name string) { s.begin(s.truncating("NameServer.Truncate", name)) }

func (s *NameServer) begin(f *Fault) { s.host.n.do(f.beginNow) }

// Heal ends all faults of a name: those of Fail, Silence, Delay and Truncate, and injected ones. With the
// empty name it ends those of all names. Answers in flight do not change.
func (s *NameServer) Heal(name string) {
	key := checkedName("NameServer.Heal", name, true)
	if name != "" {
		name += ": "
	}
	s.host.n.do(func() {
		for _, f := range s.heal(func(t *nameTrouble) bool { return t.name == key }) {
			f.over()
		}
		s.host.n.note(&s.host.node, nil, "names: "+name+"healed")
	})
}

// A reply is the server's reaction to a message.
type reply struct {
	message []byte // nil: no answer
	delay   time.Duration
}

// answer decides what to reply to a message.
func (s *NameServer) answer(message []byte, udp bool) (r reply) {
	q, ok := dns.Read(message)
	if !ok {
		return reply{}
	}
	a := dns.Answer{Code: q.Code, Size: math.MaxUint16}
	if udp {
		a.Size = min(s.conf.MaxUDP, q.Size)
	}
	if a.Code == dns.Success && !s.decide(&q, &a, &r, udp) {
		return reply{}
	}
	r.message = a.Append(nil, &q)
	return r
}

// decide completes the answer to a query, and reports whether there is one.
func (s *NameServer) decide(q *dns.Query, a *dns.Answer, r *reply, udp bool) bool {
	n := s.host.n
	t := get(n, func() nameTroubles {
		t := s.troublesOf(q.Name)
		for _, kind := range t.felt(udp) {
			t[kind].fault.hit(n.now())
		}
		return t
	})
	r.delay = t[nameDelay].by
	switch {
	case t[nameSilence].fault != nil:
		return false
	case t[nameTruncation].fault != nil && udp:
		a.Truncated = true
	case t[nameFailure].fault != nil:
		a.Code = dns.Code(t[nameFailure].code)
	default:
		s.find(q, a)
	}
	if a.Code == dns.NXDomain || a.Code == dns.Success && len(a.Records) == 0 {
		a.Authority = []dns.Record{s.authority()}
	}
	return true
}

// authority returns the record that says how long clients may cache that something does not exist (RFC 2308
// section 3).
func (s *NameServer) authority() dns.Record {
	ttl := uint32(s.conf.TTL / time.Second)
	data := dns.AppendName(dns.AppendName(nil, s.host.name), "hostmaster."+s.host.name)
	for _, v := range []uint32{1, 3600, 600, 86400, ttl} { // serial, refresh, retry, expire, minimum
		data = binary.BigEndian.AppendUint32(data, v)
	}
	return dns.Record{Type: dns.SOA, TTL: ttl, Data: data}
}

// A chain has at most this many names: the one asked for and 11 more, as in BIND (max-query-restarts).
const longestAlias = 12

// find looks up a question. Like a recursive server, it follows aliases.
func (s *NameServer) find(q *dns.Query, a *dns.Answer) {
	switch {
	case q.Class != dns.Internet:
		a.Code = dns.Refused
		return
	case q.Type >= dns.IXFR && q.Type < dns.Any:
		a.Code = dns.NotImp
		return
	}
	name := q.Name
	for range longestAlias {
		records, exists := s.of(name, q.Type)
		if !exists {
			a.Code = dns.NXDomain
			return
		}
		if len(records) == 1 && records[0].Type == dns.CNAME && q.Type != dns.CNAME && q.Type != dns.Any {
			a.Records = append(a.Records, records[0])
			name = records[0].Target
			continue
		}
		records = slices.DeleteFunc(records, func(r dns.Record) bool { return r.Type != q.Type && q.Type != dns.Any })
		if s.conf.RoundRobin && len(records) > 1 {
			first := s.turn(name, q.Type) % len(records)
			records = slices.Concat(records[first:], records[:first])
		}
		a.Records = append(a.Records, records...)
		return
	}
	a.Code, a.Records = dns.ServFail, nil // a loop
}

// turn counts the answers about a name.
func (s *NameServer) turn(name string, kind dns.Type) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprint(name, " ", kind)
	s.turns[key]++
	return s.turns[key] - 1
}

// of returns the records of a name, all or those of a type, and whether it exists. What s was told about the
// name itself comes first, then what the network knows, then wildcards.
func (s *NameServer) of(name string, kind dns.Type) (all []dns.Record, exists bool) {
	if records, is := s.misled(name); is {
		return records, len(records) > 0
	}
	own := s.isOwn(name)
	if !own {
		records, known := s.known(name, kind)
		for _, data := range records {
			all = append(all, dns.Record{Name: name, Type: kind, TTL: uint32(s.conf.TTL / time.Second), Data: data})
		}
		if known {
			return all, true
		}
	}
	all = s.recordsOf(name)
	return all, len(all) > 0 || !own && s.hasBelow(name)
}

// recordsOf returns the records of a name, or if there is no such name those of the wildcard that stands for
// it.
func (s *NameServer) recordsOf(name string) (all []dns.Record) {
	from := name
	if !s.isOwn(name) && !s.hasBelow(name) {
		from = s.wildcard(name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records[from] {
		r.Name = name
		all = append(all, r)
	}
	return all
}

// wildcard returns the wildcard name for a name that does not exist: "*" in the closest domain that exists
// (RFC 4592 section 3.3.1), whether or not that wildcard exists.
func (s *NameServer) wildcard(name string) string {
	for _, domain, more := strings.Cut(name, "."); more; _, domain, more = strings.Cut(domain, ".") {
		exists := s.hasBelow(domain)
		if !exists && !s.isOwn(domain) {
			_, exists = s.known(domain, dns.Any)
		}
		if exists || s.hasRecords(domain) {
			return "*." + domain
		}
	}
	return ""
}

// hasRecords reports whether s has records of a name.
func (s *NameServer) hasRecords(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records[name]) > 0
}

// isOwn reports whether s was told about a name, even that it does not exist.
func (s *NameServer) isOwn(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.records[name]
	return ok
}

// hasBelow reports whether there is a name below, so that this one exists too, without records (RFC 8020).
func (s *NameServer) hasBelow(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for below, records := range s.records {
		if strings.HasSuffix(below, "."+name) && len(records) > 0 {
			return true
		}
	}
	return false
}

// names returns the names of which s has records, sorted.
func (s *NameServer) names() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, records := range s.records {
		if len(records) > 0 {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// known returns what the network knows about a name.
func (s *NameServer) known(name string, kind dns.Type) (records [][]byte, exists bool) {
	found := text(s.host.n, func() string { // each with its length in front, none over 255
		records, exists := s.host.resources(name, uint16(kind))
		if !exists {
			return ""
		}
		all := []byte{0}
		for _, data := range records {
			all = append(append(all, byte(len(data))), data...)
		}
		return string(all)
	})
	if found == "" {
		return nil, false
	}
	for rest := found[1:]; rest != ""; rest = rest[1+rest[0]:] {
		records = append(records, []byte(rest[1:1+rest[0]]))
	}
	return records, true
}
