package sidecar

import (
	"bytes"
	"math"
)

// Lengths of bodies that are no number of bytes.
const (
	chunked    = -1
	untilClose = -2 // only of an answer
)

// A message is what the proxy needs to know about a head. Its slices are parts of the
// head.
type message struct {
	// Of a request.
	method, target []byte
	host           []byte
	hosted         bool   // it has a Host
	expects        bool   // 100 Continue
	keyed          bool   // it has an Idempotency-Key
	attempt        []byte // the Request-Attempt
	timeout        []byte // the Request-Timeout

	// Of an answer.
	status int
	reason []byte // with the status: "200 OK"
	after  []byte // the Retry-After
	// unexecuted says that the service did not begin, according to its
	// Call-Outcome.
	unexecuted bool

	minor    byte   // HTTP/1.minor
	length   int64  // of the body: a number of bytes, chunked or untilClose
	sized    bool   // it has a Content-Length
	coded    bool   // it has a Transfer-Encoding
	close    bool   // the sender closes after this
	keep     bool   // ... or says that it does not
	upgrade  []byte // the protocol asked for, or agreed to
	options  [][]byte
	fields   []byte // the lines of the fields
	upgrades bool   // Connection lists upgrade
	h2c      bool   // a line of Upgrade offers HTTP/2
	dropped  drops
}

// parseRequest parses the head of a request. It rejects anything that two programs may interpret
// differently.
func parseRequest(m *message, head []byte) error {
	line, fields, err := startLine(head)
	if err != nil {
		return err
	}
	*m = message{fields: fields, options: m.options[:0]}
	method, rest, ok := bytes.Cut(line, []byte(" "))
	target, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || !isToken(method) || !isTarget(target) || bytes.IndexByte(version, ' ') >= 0 {
		return bad("the request line is malformed")
	}
	if len(version) != 8 || !bytes.HasPrefix(version, []byte("HTTP/1.")) || version[7] < '0' || version[7] > '9' {
		return &malformed{505, "the version is not HTTP/1"}
	}
	m.method, m.target, m.minor = method, target, version[7]-'0'
	if err := m.readFields(); err != nil {
		return err
	}
	switch {
	case !m.hosted && m.minor > 0:
		return bad("there is no Host")
	case m.coded && m.sized:
		return bad("there are Transfer-Encoding and Content-Length")
	case m.coded && m.minor == 0:
		return bad("HTTP/1.0 has no Transfer-Encoding")
	}
	m.close = m.close || m.minor == 0
	if !m.upgrades || m.h2c {
		m.upgrade = nil
	}
	return nil
}

// offersHTTP2 reports whether an Upgrade lists h2c. RFC 9113 has removed it (section 3.1), and
// requests after it would bypass the proxy. It is ignored, as any server may do (RFC 9110, section
// 7.8).
func offersHTTP2(upgrade []byte) bool {
	for protocol := range bytes.SplitSeq(upgrade, []byte(",")) {
		if equal(trim(protocol), "h2c") {
			return true
		}
	}
	return false
}

// parseAnswer parses the head of an answer; isHead says that the request was
// HEAD.
func parseAnswer(m *message, head []byte, isHead bool) error {
	line, fields, err := startLine(head)
	if err != nil {
		return err
	}
	*m = message{fields: fields, options: m.options[:0]}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return bad("the status line is malformed")
	}
	m.minor, m.reason = line[7]-'0', line[9:]
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return bad("the status is no number")
		}
		m.status = 10*m.status + int(c-'0')
	}
	if m.minor > 9 || m.status < 100 {
		return bad("the status line is malformed")
	}
	for _, c := range m.reason {
		if !texts[c] {
			return bad("the status line is malformed")
		}
	}
	if err := m.readFields(); err != nil {
		return err
	}
	m.close = m.close || m.minor == 0 && !m.keep
	if m.status != 101 {
		m.upgrade = nil // of this hop alone
	}
	switch {
	case isHead || m.status < 200 || m.status == 204 || m.status == 304:
		m.length = 0
	case m.coded && m.sized:
		return bad("there are Transfer-Encoding and Content-Length")
	case !m.coded && !m.sized:
		m.length = untilClose
		m.close = true
	}
	return nil
}

func startLine(head []byte) (line, fields []byte, err error) {
	at := bytes.IndexByte(head, '\n')
	if at < 2 || head[at-1] != '\r' {
		return nil, nil, bad("the first line is malformed")
	}
	return head[:at-1], head[at+1 : len(head)-2], nil
}

// field parses a field that matters to the proxy.
func (m *message) field(k int, value []byte) error {
	switch k {
	case fieldHost:
		if m.hosted || !isHost(value) {
			return bad("Host is malformed, or comes twice")
		}
		m.host, m.hosted = value, true
	case fieldLength:
		if m.sized {
			return bad("Content-Length comes twice")
		}
		m.sized = true
		n, ok := decimal(value)
		if !ok {
			return bad("Content-Length is no number")
		}
		if !m.coded {
			m.length = n
		}
	case fieldCoding:
		if m.coded || !equal(value, "chunked") {
			return &malformed{501, "Transfer-Encoding is not chunked alone"}
		}
		m.coded, m.length = true, chunked
	case fieldUpgrade:
		if len(value) > 0 { // an empty list asks for nothing
			m.upgrade = value
		}
		m.h2c = m.h2c || offersHTTP2(value)
	case fieldExpect:
		if !equal(value, "100-continue") {
			return &malformed{417, "Expect is not 100-continue"}
		}
		m.expects = true
	case fieldKey:
		m.keyed = m.keyed || len(value) > 0
	case fieldAttempt:
		m.attempt = value
	case fieldTimeout:
		m.timeout = value
	case fieldAfter:
		m.after = value
	case fieldOutcome:
		m.unexecuted = equal(value, "not-executed")
	}
	return nil
}

// connection parses the fields that are for this hop only.
func (m *message) connection(value []byte) error {
	for option := range bytes.SplitSeq(value, []byte(",")) {
		switch option = trim(option); {
		case len(option) == 0:
		case equal(option, "close"):
			m.close = true
		case equal(option, "keep-alive"):
			m.keep = true
		case equal(option, "upgrade"):
			m.upgrades = true
		case unlisted(known(option)):
			return bad("Connection lists a field that is end to end")
		default:
			m.options = append(m.options, option)
		}
	}
	return nil
}

// unlisted reports whether a field is essential to a message, so that no sender may have it
// removed.
func unlisted(k int) bool {
	switch k {
	case fieldHost, fieldLength, fieldCoding, fieldKey, fieldExpect:
		return true
	}
	return false
}

// Fields that the proxy knows.
const (
	fieldOther = iota
	fieldHost
	fieldLength
	fieldCoding
	fieldConnection
	fieldUpgrade
	fieldExpect
	fieldKey
	fieldAttempt
	fieldTimeout
	fieldAfter
	fieldOutcome
	fieldHop // for this hop alone
	fieldTE
)

// known returns which field a name is.
func known(name []byte) int {
	switch len(name) {
	case 2:
		return pick(name, "te", fieldTE)
	case 4:
		return pick(name, "host", fieldHost)
	case 6:
		return pick(name, "expect", fieldExpect)
	case 7:
		return pick(name, "upgrade", fieldUpgrade)
	case 10:
		return pick(name, "connection", fieldConnection) + pick(name, "keep-alive", fieldHop)
	case 11:
		return pick(name, "retry-after", fieldAfter)
	case 12:
		return pick(name, "call-outcome", fieldOutcome)
	case 14:
		return pick(name, "content-length", fieldLength)
	case 15:
		return pick(name, "idempotency-key", fieldKey) + pick(name, "request-timeout", fieldTimeout) + pick(name, "request-attempt", fieldAttempt)
	case 16:
		return pick(name, "proxy-connection", fieldHop)
	case 17:
		return pick(name, "transfer-encoding", fieldCoding)
	case 18:
		return pick(name, "proxy-authenticate", fieldHop)
	case 19:
		return pick(name, "proxy-authorization", fieldHop)
	}
	return fieldOther
}

func pick(name []byte, want string, k int) int {
	if equal(name, want) {
		return k
	}
	return fieldOther
}

// equal compares a text with one in lower case.
func equal(text []byte, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func trim(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	for len(text) > 0 && (text[len(text)-1] == ' ' || text[len(text)-1] == '\t') {
		text = text[:len(text)-1]
	}
	return text
}

// decimal parses digits only, and fails beyond 63 bits.
func decimal(text []byte) (n int64, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' || n > (math.MaxInt64-int64(c-'0'))/10 {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, len(text) > 0
}

// The characters of a token (RFC 9110, section 5.6.2).
var tokens = func() (t [256]bool) {
	for c := range 256 {
		t[c] = '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c < 0x80 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
	}
	return t
}()

// The characters of a field's value (RFC 9110, section 5.5).
var texts = func() (t [256]bool) {
	for c := range 256 {
		t[c] = c >= ' ' && c != 0x7f || c == '\t'
	}
	return t
}()

func isToken(text []byte) bool {
	for _, c := range text {
		if !tokens[c] {
			return false
		}
	}
	return len(text) > 0
}

func isTarget(text []byte) bool {
	for _, c := range text {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(text) > 0
}

func isHost(text []byte) bool {
	for _, c := range text {
		if c <= ' ' || c >= 0x7f || c == '/' || c == '@' || c == '?' || c == '#' || c == ',' {
			return false
		}
	}
	return true
}
