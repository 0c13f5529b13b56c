package sim

import (
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/squall-sim/squall/sim/internal/dns"
)

// The number and the duration of the tries of a question, which Go's resolver reads in the operating system's
// resolv.conf. The network sees the same on every machine: two tries of 5 s, as with a resolv.conf that says
// nothing else. If the resolver makes more tries, they get the outcome of the last one at once.
const (
	lookupTries   = 2
	lookupTimeout = 5 * time.Second
)

// A hostResolver is how a host asks name servers.
type hostResolver struct {
	conf  *resolving             // nil: the stub
	tries map[string][]lookupTry // tries that failed, by question
	kept  map[string]keptAnswer  // cached answers, by question
}

// A keptAnswer is an entry of the cache.
type keptAnswer struct {
	until   int64
	by      moment
	outcome *tryOutcome
}

// mostKept is how many answers a host keeps.
const mostKept = 4096

// kept is the key of a cached answer: an answer that came over TCP may be too long for UDP.
func kept(asked string, tcp bool) string {
	if tcp {
		return asked + "tcp"
	}
	return asked
}

// keep caches an answer, which is fresh for some seconds. The lock is held.
func (r *hostResolver) keep(n *Network, asked string, ttl uint32, o *tryOutcome) {
	now := n.now()
	if r.kept == nil {
		r.kept = map[string]keptAnswer{}
	}
	if len(r.kept) >= mostKept {
		maps.DeleteFunc(r.kept, func(_ string, k keptAnswer) bool { return k.until <= now })
	}
	if len(r.kept) < mostKept {
		r.kept[asked] = keptAnswer{after(now, int64(ttl)*1e9), n.moment(), o}
	}
}

// A lookupTry is one try of a question; the next one begins at the instant at which it failed.
type lookupTry struct {
	at      int64
	by      moment
	number  int  // from 0, as the resolver counts
	cut     bool // the answer was truncated, and is asked for again over TCP
	outcome *tryOutcome
}

// A tryOutcome is how a try failed: with an error, or an answer.
type tryOutcome struct {
	err    error
	answer []byte
}

// A nextTry is what a question does next: ask a server, or take the outcome of the previous try.
type nextTry struct {
	number  int // of earlier tries by the resolver
	server  netip.AddrPort
	outcome *tryOutcome
	kept    bool // in the cache
}

// next finds out which try of a question begins. The lock is held.
func (r *hostResolver) next(n *Network, asked string, tcp bool) (next nextTry) {
	now := n.now()
	if k, ok := r.kept[kept(asked, tcp)]; ok && k.until > now {
		n.reveal(k.by)
		return nextTry{outcome: k.outcome, kept: true}
	}
	before := slices.DeleteFunc(r.tries[asked], func(t lookupTry) bool { return t.at != now })
	delete(r.tries, asked)
	for i, t := range before {
		if t.cut == tcp {
			n.reveal(t.by)
			next.number, next.outcome = t.number, t.outcome
			if !tcp {
				next.number++
			}
			before = slices.Delete(before, i, i+1)
			break
		}
	}
	if len(before) > 0 {
		r.tries[asked] = before
	}
	if next.number < lookupTries {
		next.server, next.outcome = r.conf.server(next.number), nil
	}
	return next
}

// completeName marks the context of a lookup whose name is complete.
type completeName struct{}

// A question is one try of the resolver.
type question struct {
	id     [2]byte // as the resolver drew it
	asked  string
	number int
	tcp    bool
	sent   bool   // to a name server
	answer []byte // if the question is not sent
	fails  error  // likewise
	last   tryOutcome
}

// take returns the query with an ID that follows from what it asks.
func (q *question) take(p []byte) []byte {
	copy(q.id[:], p)
	query := slices.Clone(p)
	q.asked = strings.ToLower(string(query[dnsHeader:]))
	binary.BigEndian.PutUint16(query, uint16(hashString(q.asked)))
	return query
}

// begin records which try this is, and reports whether to make it.
func (q *question) begin(next nextTry) bool {
	q.number, q.sent = next.number, !next.kept
	if next.outcome == nil {
		return true
	}
	q.last = *next.outcome
	q.answer, q.fails = q.last.answer, q.last.err
	return false
}

// heard records the outcome of the question.
func (q *question) heard(message []byte, err error) {
	q.last = tryOutcome{err: err}
	if err == nil {
		q.last.answer = slices.Clone(message)
	}
}

// end records, for the next try, that this one failed.
func (q *question) end(h *Host) {
	if !q.sent {
		return
	}
	q.sent = false
	code, cut := 0, false
	if a := q.last.answer; len(a) >= dnsHeader {
		code, cut = int(a[3]&15), a[2]&2 != 0
	}
	if ttl := dns.TTL(q.last.answer); ttl > 0 {
		o := &tryOutcome{answer: q.last.answer}
		h.n.do(func() {
			if h.resolver.conf != nil && h.resolver.conf.cache && !h.dead {
				h.resolver.keep(h.n, kept(q.asked, q.tcp), ttl, o)
			}
		})
	}
	last := !cut && q.number+1 >= triesOfMachine()
	if last || q.last.err == nil && !cut && (code == 0 || code == dnsNoSuchName) {
		return
	}
	t := lookupTry{number: q.number, cut: cut, outcome: &tryOutcome{q.last.err, q.last.answer}}
	h.n.do(func() {
		if h.resolver.tries == nil {
			h.resolver.tries = map[string][]lookupTry{}
		}
		t.at, t.by = h.n.now(), h.n.moment()
		h.resolver.tries[q.asked] = append(h.resolver.tries[q.asked], t)
	})
}

// patience is the deadline of a try, in place of the one that the operating system's files imply.
func (q *question) patience(t time.Time) time.Time {
	if _, timeout := optionsOfMachine(); timeout != lookupTimeout && t.Equal(time.Now().Add(timeout)) {
		return time.Now().Add(lookupTimeout)
	}
	return t
}

// triesOfMachine is how often Go's resolver tries a question.
func triesOfMachine() int {
	attempts, _ := optionsOfMachine()
	servers := 0
	for fields := range fieldsOf(resolvConf) {
		if fields[0] == "nameserver" && len(fields) > 1 {
			if _, err := netip.ParseAddr(fields[1]); err == nil {
				servers = min(servers+1, 3)
			}
		}
	}
	if servers == 0 {
		servers = 2 // 127.0.0.1 and ::1
	}
	return attempts * servers
}

// optionsOfMachine are the options of resolv.conf(5) that matter.
func optionsOfMachine() (attempts int, timeout time.Duration) {
	attempts, timeout = 2, lookupTimeout
	for fields := range fieldsOf(resolvConf) {
		if fields[0] != "options" {
			continue
		}
		for _, o := range fields[1:] {
			name, value, _ := strings.Cut(o, ":")
			n, _ := strconv.Atoi(value)
			switch name {
			case "attempts":
				attempts = max(n, 1)
			case "timeout":
				timeout = time.Duration(max(n, 1)) * time.Second
			}
		}
	}
	return attempts, timeout
}

// lookUp is the Dial of the resolver.
func (h *Host) lookUp(ctx context.Context, network, _ string) (net.Conn, error) {
	if strings.HasPrefix(network, "tcp") && get(h.n, func() bool { return h.resolver.conf != nil }) {
		return &streamLookup{question: question{tcp: true}, host: h, ctx: ctx, made: time.Now()}, nil
	}
	return h.look(ctx)
}

// A streamLookup is a question to a name server over TCP. It connects when the question is known: if two
// begin at one instant, their ports follow from what they ask.
type streamLookup struct {
	question
	host     *Host
	ctx      context.Context
	made     time.Time
	deadline time.Time
	heardOf  int // bytes of the answer

	mu   sync.Mutex // guards conn
	conn net.Conn   // nil before the question
}

// Write connects, and sends the question with its length in front.
func (l *streamLookup) Write(p []byte) (int, error) {
	const length = 2
	if len(p) < length+dnsHeader || l.conn != nil {
		return 0, opError("write", "tcp", nil, nil, sysError("write", syscall.EINVAL))
	}
	query := append(slices.Clone(p[:length]), l.take(p[length:])...)
	next := get(l.host.n, func() nextTry { return l.host.resolver.next(l.host.n, l.asked, true) })
	if !l.begin(next) {
		l.answer = append(binary.BigEndian.AppendUint16(nil, uint16(len(l.answer))), l.answer...)
		return len(p), nil
	}
	ctx := l.ctx
	if at, ok := ctx.Deadline(); ok && !l.patience(at).Equal(at) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(context.WithoutCancel(ctx), l.patience(at))
		defer cancel()
	}
	d := Dialer{host: l.host, asked: l.asked}
	conn, err := d.dialOne(ctx, "tcp", next.server)
	if err != nil {
		l.heard(nil, err)
		return 0, err
	}
	l.mu.Lock()
	l.conn = conn
	l.mu.Unlock()
	conn.SetDeadline(l.deadline)
	if _, err = conn.Write(query); err != nil {
		l.heard(nil, err)
		return 0, err
	}
	return len(p), nil
}

// Read reads the answer with its length in front.
func (l *streamLookup) Read(p []byte) (k int, err error) {
	switch {
	case l.fails != nil:
		return 0, l.fails
	case l.conn == nil:
		if k, l.answer = copy(p, l.answer), l.answer[min(len(p), len(l.answer)):]; k == 0 {
			return 0, io.EOF
		}
	default:
		k, err = l.conn.Read(p)
		l.last = tryOutcome{err: err, answer: l.last.answer}
		if err == nil && len(l.last.answer) < 2+dnsHeader {
			l.last.answer = append(l.last.answer, p[:k]...)
		}
	}
	for i := range k {
		if at := l.heardOf + i - 2; at == 0 || at == 1 {
			p[i] = l.id[at]
		}
	}
	l.heardOf += k
	return k, err
}

// Close implements net.Conn.
func (l *streamLookup) Close() error {
	if a := l.last.answer; len(a) > 2 {
		l.last.answer = a[2:]
	}
	l.end(l.host)
	if l.conn == nil {
		return nil
	}
	return l.conn.Close()
}

// SetDeadline implements net.Conn.
func (l *streamLookup) SetDeadline(t time.Time) error {
	l.deadline = l.patience(t)
	if l.conn == nil {
		return nil
	}
	return l.conn.SetDeadline(l.deadline)
}

// SetReadDeadline implements net.Conn.
func (l *streamLookup) SetReadDeadline(t time.Time) error { return l.SetDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (l *streamLookup) SetWriteDeadline(t time.Time) error { return l.SetDeadline(t) }

// LocalAddr implements net.Conn.
func (l *streamLookup) LocalAddr() net.Addr {
	if l.conn == nil {
		return &net.TCPAddr{}
	}
	return l.conn.LocalAddr()
}

// RemoteAddr implements net.Conn.
func (l *streamLookup) RemoteAddr() net.Addr {
	if l.conn == nil {
		return &net.TCPAddr{}
	}
	return l.conn.RemoteAddr()
}
