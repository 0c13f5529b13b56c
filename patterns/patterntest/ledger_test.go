package patterntest_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// A ledger is a third sound system, with places at which to break it: a server that sends what
// it has over a TCP connection to each client, and clients that say after which event they go on.
// The zero value is sound; a test replaces one part.
type ledger struct {
	claims  patterntest.System
	durable bool // what it keeps survives the server
	expires bool
	outbox  func(*publishing) // publishers on hosts of their own; what they do to send an event
	named   bool              // some events are for one client alone
	keyed   bool              // some have a key
	retries func(random *rand.Rand) pause
	acks    bool // clients say what they have

	begin    func(s *ledgerServer)                            // when a server starts
	accept   func(s *ledgerServer, e entry) error             // what Publish does
	page     func(s *ledgerServer, at int) page               // what comes after a position
	window   int                                              // events that may be unacknowledged; 0: any number
	choose   func(c *session, all []entry) []entry            // those of a page that a client gets
	take     func(s *ledgerServer, c *session, l letter)      // an event that a publisher has sent
	greet    func(s *ledgerServer, c *session) bool           // whether a connection is taken, and as whose
	farewell func(s *ledgerServer, c *session)                // when a connection has ended
	send     func(s *ledgerServer, c *session, p *page) error // writes a page
	stop     func(s *ledgerServer)                            // after it was asked to stop, before it does
	hang     func(conn net.Conn)                              // what a client does with a connection that is over
	lag      int                                              // how many events a client gets before it stores its position
	silence  time.Duration                                    // after which a client gives a connection up
}

// A pause is how long a client waits before an attempt, the nth since the last success, after an
// error.
type pause func(nth int, err error) time.Duration

type entry struct {
	Data  []byte
	At    time.Time
	Until time.Time // zero: for ever
	To    string    // who alone may see it
	Key   string
}

func (e entry) over() bool { return !e.Until.IsZero() && time.Now().After(e.Until) }

// A page is what a server sends at once.
type page struct {
	Life   string
	Gap    bool // something before is no longer there
	Events [][]byte
	Next   int

	entries []entry // the events
}

// hello is what a client begins with, and what it says of events that it has.
type hello struct {
	Name      string
	Run       string // of its process
	Publishes bool
	At        position
	Has       int
}

type ledgerServer struct {
	ledger
	life string
	ctx  context.Context
	disk *[]entry
	seen map[string]bool // letters, on disk if that is

	mu      sync.Mutex
	entries []entry
	first   int           // position before the first of the entries
	more    chan struct{} // closed by the next entry
	slots   int
	quiet   time.Time // nothing is sent before
	begun   map[string]bool
	current map[string]*session // by the names of clients
	beaten  map[string]bool     // runs that another has replaced
	running sync.WaitGroup
}

// A session is a client's connection at the server.
type session struct {
	net.Conn
	name   string
	run    string
	at     position
	has    int // events that the client says it has
	sent   time.Time
	ended  context.Context
	cancel context.CancelFunc
}

func (l ledger) on(n *sim.Network) patterntest.System {
	l = l.whole()
	var current patterntest.Current[*ledgerServer]
	var positions patterntest.Disk[position]
	var disk []entry
	seen := map[string]bool{}
	lives := 0

	s := l.claims
	s.Durable = s.Durable || l.durable
	s.Bound = cmp.Or(s.Bound, 250*time.Millisecond) // what is large takes TCP two round trips
	s.Serve = func(ctx context.Context, h *sim.Host, _ string) error {
		lives++
		server := &ledgerServer{ledger: l, ctx: ctx, life: fmt.Sprint("life ", lives), more: make(chan struct{}), begun: map[string]bool{},
			current: map[string]*session{}, beaten: map[string]bool{}, seen: map[string]bool{}}
		if l.durable {
			server.life, server.disk, server.entries, server.seen = "for ever", &disk, disk, seen
		}
		l.begin(server)
		listener, err := h.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		defer current.Set(server)()
		return server.serve(listener)
	}
	publish := func(e entry, ttl time.Duration) error {
		return current.Do(func(s *ledgerServer) error {
			e.At = time.Now()
			if ttl > 0 {
				e.Until = e.At.Add(ttl)
			}
			return l.accept(s, e)
		})
	}
	s.Publish = func(data string) error { return publish(entry{Data: []byte(data)}, 0) }
	if l.expires {
		s.PublishFor = func(data string, ttl time.Duration) error { return publish(entry{Data: []byte(data)}, ttl) }
	}
	if l.named {
		s.PublishTo = func(name, data string) error { return publish(entry{Data: []byte(data), To: name}, 0) }
	}
	if l.keyed {
		s.PublishKey = func(key, data string) error { return publish(entry{Data: []byte(data), Key: key}, 0) }
	}
	if l.outbox != nil {
		s.Publishers = &patterntest.Publishers{Run: func(ctx context.Context, h *sim.Host, name string, o patterntest.Outbox) error {
			p := &publishing{Outbox: o, h: h, name: name, random: n.Rand(name)}
			defer p.close()
			for p.ctx = ctx; ctx.Err() == nil; {
				l.outbox(p)
			}
			return nil
		}}
	}
	s.Receive = func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
		wait := l.retries(n.Rand(h.Name()))
		first := hello{Name: name, Run: fmt.Sprint(h.Name(), n.Elapsed())}
		for nth := 1; ctx.Err() == nil; nth++ {
			err := l.receive(ctx, h, first, &positions, r, func() { nth = 0 })
			sleep(ctx, wait(nth, err))
		}
		return nil
	}
	return s
}

func (l ledger) whole() ledger {
	if l.begin == nil {
		l.begin = func(*ledgerServer) {}
	}
	if l.accept == nil {
		l.accept = func(s *ledgerServer, e entry) error { s.add(e); return nil }
	}
	if l.page == nil {
		l.page = (*ledgerServer).after
	}
	if l.take == nil {
		l.take = takeOnce
	}
	if l.choose == nil {
		l.choose = theirs
	}
	if l.greet == nil {
		l.greet = func(*ledgerServer, *session) bool { return true }
	}
	if l.farewell == nil {
		l.farewell = func(*ledgerServer, *session) {}
	}
	if l.send == nil {
		l.send = (*ledgerServer).write
	}
	if l.stop == nil {
		l.stop = func(*ledgerServer) {}
	}
	if l.hang == nil {
		l.hang = func(conn net.Conn) { conn.Close() }
	}
	if l.retries == nil {
		l.retries = spread(500*time.Millisecond, 30*time.Second)
	}
	l.silence = cmp.Or(l.silence, 45*time.Second)
	return l
}

// spread waits from half to three halves of a time that doubles with each failure.
func spread(first, most time.Duration) func(*rand.Rand) pause {
	return func(random *rand.Rand) pause {
		return func(nth int, _ error) time.Duration {
			d := min(most, first<<min(nth, 10))
			return d/2 + time.Duration(random.Int64N(int64(d)))
		}
	}
}

// constant waits always as long.
func constant(d time.Duration) func(*rand.Rand) pause {
	return func(*rand.Rand) pause { return func(int, error) time.Duration { return d } }
}

func (s *ledgerServer) add(e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, e)
	if s.disk != nil {
		*s.disk = s.entries
	}
	s.wake()
}

// wake has all sessions look for more. The lock is held.
func (s *ledgerServer) wake() {
	close(s.more)
	s.more = make(chan struct{})
}

// after returns what comes after a position.
func (s *ledgerServer) after(at int) page {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := page{Life: s.life, Next: s.first + len(s.entries)}
	rest := s.entries[min(max(at-s.first, 0), len(s.entries)):]
	if s.window > 0 {
		rest = rest[:min(len(rest), s.window)] // more may not be sent anyway
	}
	for _, e := range rest {
		if !e.over() {
			p.Events, p.entries = append(p.Events, e.Data), append(p.entries, e)
		}
	}
	return p
}

// theirs leaves out what others alone may see.
func theirs(c *session, all []entry) (some []entry) {
	for _, e := range all {
		if e.To == "" || e.To == c.name {
			some = append(some, e)
		}
	}
	return some
}

// pageFor returns what a session may be sent now.
func (s *ledgerServer) pageFor(c *session) page {
	p := s.page(s, c.at.After)
	if s.named || s.keyed {
		p.Events = nil
		for _, e := range s.choose(c, p.entries) {
			p.Events = append(p.Events, e.Data)
		}
	}
	if s.window > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		room := min(len(p.Events), max(0, c.has+s.window-c.at.After))
		p.Events, p.Next = p.Events[:room], c.at.After+room
	}
	return p
}

func (s *ledgerServer) write(c *session, p *page) error { return json.NewEncoder(c).Encode(p) }

func (s *ledgerServer) serve(l net.Listener) error {
	defer s.running.Wait()
	defer context.AfterFunc(s.ctx, func() {
		s.stop(s)
		l.Close()
	})()
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil
		}
		c := &session{Conn: conn}
		c.ended, c.cancel = context.WithCancel(s.ctx)
		s.running.Go(func() { s.session(c) })
	}
}

// session serves a connection: it reads what the client says and writes what there is, and a
// sign of life every 20 s.
func (s *ledgerServer) session(c *session) {
	defer c.Close()
	defer c.cancel()
	defer context.AfterFunc(c.ended, func() { c.Close() })()
	in := json.NewDecoder(c)
	var first hello
	if in.Decode(&first) != nil {
		return
	}
	if first.Publishes {
		s.letters(c, in)
		return
	}
	c.name, c.run, c.at, c.has = first.Name, first.Run, first.At, first.At.After
	if c.at.Life != s.life {
		c.at, c.has = position{Life: s.life}, 0
	}
	if !s.greet(s, c) {
		return
	}
	defer s.farewell(s, c)
	s.running.Go(func() {
		defer c.cancel()
		for {
			var h hello
			if in.Decode(&h) != nil {
				return
			}
			s.mu.Lock()
			c.has = max(c.has, h.Has)
			s.wake()
			s.mu.Unlock()
		}
	})
	for c.ended.Err() == nil {
		s.mu.Lock()
		more := s.more
		s.mu.Unlock()
		p := s.pageFor(c)
		if p.Next != c.at.After || c.sent.IsZero() || time.Since(c.sent) >= 20*time.Second {
			if s.send(s, c, &p) != nil {
				return
			}
			c.at.After, c.sent = p.Next, time.Now()
		}
		select {
		case <-more:
		case <-time.After(20 * time.Second):
		case <-c.ended.Done():
		}
	}
}

// receive is a client, for the time of one connection.
func (l ledger) receive(ctx context.Context, h *sim.Host, first hello, positions *patterntest.Disk[position], r patterntest.Receiver, success func()) error {
	conn, err := h.DialContext(ctx, "tcp", "server:80")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer l.hang(conn)
	name := first.Name
	at := positions.Load(name)
	out, in := json.NewEncoder(conn), json.NewDecoder(conn)
	first.At = at
	if err := out.Encode(first); err != nil {
		return err
	}
	for {
		conn.SetReadDeadline(time.Now().Add(l.silence))
		var p page
		if err := in.Decode(&p); err != nil || ctx.Err() != nil {
			return err
		}
		success()
		if at.Life != "" && at.Life != p.Life {
			r.Gap("the ledger began anew")
		} else if p.Gap {
			r.Gap("the ledger has forgotten")
		}
		for _, e := range p.Events {
			r.Event(string(e))
		}
		if stored := positions.Load(name); p.Life != stored.Life || p.Next-stored.After >= l.lag {
			positions.Store(name, position{p.Life, p.Next})
		}
		at = position{p.Life, p.Next}
		if l.acks && out.Encode(hello{Has: p.Next}) != nil {
			return nil
		}
	}
}
