package push_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
)

// server is what a promise can be asked of: it serves and publishes.
type server interface {
	Handler() http.Handler
	Publish(context.Context, push.Message) (push.Receipt, error)
	Close() error
}

// subject makes the parts of a system. Each has one variant that is broken.
type subject struct {
	// log returns the log after the n-th start; before is that of the start before.
	log func(n int, before eventlog.Log) eventlog.Log
	// server returns a server on the log.
	server func(log eventlog.Log, o options) server
	// snapshot turns the state at the time of asking into what is sent.
	snapshot func(state func() string) string
	// options and client change what is configured.
	options func(*options)
	client  func(*push.Client)
	// shutdown ends the server in good order.
	shutdown func(server)
}

func healthy() subject {
	return subject{
		log: func(_ int, before eventlog.Log) eventlog.Log {
			if before != nil {
				return before // a log on disk survives
			}
			return eventlog.NewMemory(eventlog.Options{Epoch: 0xe1, MaxEntries: 4})
		},
		server:   func(log eventlog.Log, o options) server { return o.server(log) },
		snapshot: func(state func() string) string { return state() },
		options:  func(*options) {},
		client:   func(*push.Client) {},
		shutdown: func(s server) { s.(*push.Server).Drain(context.Background()) },
	}
}

// bench is a subject at work.
type bench struct {
	*world
	parts  subject
	starts int
	server server
}

func (b *bench) start() {
	b.starts++
	if b.starts == 1 {
		b.log = nil
	}
	b.log = b.parts.log(b.starts, b.log)
	b.parts.options(&b.opts)
	b.server = b.parts.server(b.log, b.opts)
	b.serve(b.server.Handler())
}

func (b *bench) stop() {
	b.web.Close()
	b.server.Close()
	<-b.done
	b.web = nil
}

func (b *bench) phone(id string) *phone {
	p := b.world.phone(id)
	b.parts.client(p.Client)
	p.on()
	time.Sleep(time.Second)
	return p
}

func (b *bench) send(data string) bool { return b.sendFor(0, data) }

func (b *bench) sendFor(ttl time.Duration, data string) bool {
	_, err := b.server.Publish(context.Background(), push.Message{Topic: mailbox, TTL: ttl, Data: []byte(data)})
	return err == nil
}

// got is what a phone has seen by now, as one text.
func (p *phone) got() string {
	synctest.Wait()
	var list []string
	for {
		select {
		case s := <-p.seen:
			list = append(list, s)
		default:
			return strings.Join(list, ", ")
		}
	}
}

// promises are what a push system promises. A check returns what is wrong, as a
// sentence, or nothing.
var promises = []struct {
	name   string
	check  func(b *bench) string
	broken string
	defect func(*subject)
}{
	{"an acknowledged message survives a restart", func(b *bench) string {
		b.start()
		b.send("mail")
		b.stop()
		b.start()
		p := b.phone("phone")
		defer p.off()
		return differs("after the restart the client gets", p.got(), "reset new, mail")
	}, "the mailbox forgets when the process does", func(s *subject) {
		s.log = func(int, eventlog.Log) eventlog.Log { return eventlog.NewMemory(eventlog.Options{Epoch: 0xe1}) }
	}},
	{"a message is acknowledged when it is durable, not before", func(b *bench) string {
		b.start()
		if !b.send("mail") {
			return ""
		}
		b.stop() // the process dies an instant after the acknowledgement
		b.start()
		p := b.phone("phone")
		defer p.off()
		return differs("the publisher was told that it is stored; the client gets", p.got(), "reset new, mail")
	}, "the log acknowledges and stores later", func(s *subject) {
		log := s.log
		s.log = func(n int, before eventlog.Log) eventlog.Log {
			if before != nil {
				return log(n, before.(*lateLog).Log)
			}
			return &lateLog{log(n, nil)}
		}
	}},
	{"what cannot be recovered is said", func(b *bench) string {
		b.start()
		p := b.phone("phone")
		p.off()
		p.got()
		for i := range 6 { // the log keeps four
			b.send(fmt.Sprint(i))
		}
		p.on()
		time.Sleep(time.Second)
		defer p.off()
		return differs("two messages are gone from the log, and the client gets", p.got(), "reset compacted, 2, 3, 4, 5")
	}, "recovery is partial and claims to be complete", func(s *subject) {
		log := s.log
		s.log = func(n int, before eventlog.Log) eventlog.Log { return silentLog{log(n, before)} }
	}},
	{"recovery repeats nothing", func(b *bench) string {
		b.start()
		b.send("one")
		b.send("two")
		conn, _, err := websocket.Dial(context.Background(), b.url+"?client=phone&cursor=e1-1", &websocket.DialOptions{HTTPClient: b.http})
		if err != nil {
			return err.Error()
		}
		defer conn.CloseNow()
		conn.Read(context.Background()) // hello
		_, event, _ := conn.Read(context.Background())
		return differs("the client continues after offset 1 and first gets offset", fmt.Sprint(event[1]), "2")
	}, "recovery starts one too early", func(s *subject) {
		log := s.log
		s.log = func(n int, before eventlog.Log) eventlog.Log { return stutterLog{log(n, before)} }
	}},
	{"nothing is delivered after its TTL", func(b *bench) string {
		b.start()
		b.sendFor(5*time.Second, "stale")
		time.Sleep(5 * time.Second)
		p := b.phone("phone")
		defer p.off()
		return differs("the client comes after the TTL and gets", p.got(), "reset new")
	}, "the TTL is not kept", func(s *subject) {
		log := s.log
		s.log = func(n int, before eventlog.Log) eventlog.Log { return immortalLog{log(n, before)} }
	}},
	{"a snapshot and what follows it have no hole between them", func(b *bench) string {
		sum := 0
		state := func() string { return fmt.Sprint("sum ", sum) }
		b.opts.Snapshot = func(context.Context, access.Identity) ([]byte, error) { return []byte(b.parts.snapshot(state)), nil }
		b.start()
		warm := b.world.phone("warm")
		warm.on()
		time.Sleep(time.Second)
		warm.off()
		sum = 1
		b.send("+1")
		p := b.phone("phone")
		defer p.off()
		return differs("one was added before the client came, and it gets", p.got(), "reset new sum 1")
	}, "the snapshot is older than the position", func(s *subject) {
		var cache string
		s.snapshot = func(state func() string) string {
			if cache == "" {
				cache = state()
			}
			return cache
		}
	}},
	{"a slow client does not delay the others", func(b *bench) string {
		b.opts.Authenticate = withTopics(mailbox)
		b.net.buffer = 4 << 10
		b.start()
		dead, _, err := websocket.Dial(context.Background(), b.url+"?client=dead", &websocket.DialOptions{HTTPClient: b.http})
		if err != nil {
			return err.Error()
		}
		defer dead.CloseNow() // it never reads
		p := b.phone("phone")
		defer p.off()
		p.got()
		for range 10 {
			start := time.Now()
			go b.send(strings.Repeat("x", 2000))
			<-p.seen
			if took := time.Since(start); took != time.Millisecond {
				return fmt.Sprintf("a client that never reads is connected, and another one's message takes %v instead of one transit, 1ms", took)
			}
		}
		return ""
	}, "the publisher writes to one client after the other", func(s *subject) {
		s.server = func(eventlog.Log, options) server { return &naive{publisherWrites: true} }
	}},
	{"a ping delays no event", func(b *bench) string {
		b.opts.PingInterval = 10 * time.Second
		b.net.delay = 50 * time.Millisecond
		b.start()
		p := b.phone("phone")
		defer p.off()
		p.got()
		for range 100 { // some of them meet a ping
			time.Sleep(110 * time.Millisecond)
			start := time.Now()
			b.send("x")
			<-p.seen
			if took := time.Since(start); took != 50*time.Millisecond {
				return fmt.Sprintf("a message takes %v instead of one transit, 50ms, because a ping is on its way", took)
			}
		}
		return ""
	}, "the writer waits for the pong", func(s *subject) {
		s.server = func(_ eventlog.Log, o options) server { return &naive{ping: o.PingInterval} }
	}},
	{"a dead client is found out within interval and timeout", func(b *bench) string {
		b.opts.PingInterval, b.opts.PingTimeout = 30*time.Second, 10*time.Second
		b.start()
		p := b.phone("phone")
		defer p.off()
		b.net.Stall()
		b.net.SetDown(true)
		time.Sleep(40 * time.Second)
		if b.server.(*push.Server).Online("phone") {
			return "the client lost power 40 s ago, and is still listed as present"
		}
		return ""
	}, "nobody pings", func(s *subject) {
		s.options = func(o *options) { o.PingInterval, o.PingTimeout = 1000*time.Hour, time.Hour }
	}},
	{"a client id has one session", func(b *bench) string {
		b.start()
		first, second := b.phone("phone"), b.phone("phone")
		defer first.off()
		defer second.off()
		first.got()
		b.server.Publish(context.Background(), push.Message{Topic: "news", Data: []byte("secret")})
		time.Sleep(time.Second)
		return differs("another connection has the client's id; the old one gets", first.got(), "")
	}, "the old connection is not fenced", func(s *subject) {
		s.options = func(o *options) {
			n := 0
			o.Authenticate = func(r *http.Request) (access.Identity, error) {
				n++
				return access.Identity{Client: fmt.Sprint("session ", n), Topics: []string{"news"}}, nil
			}
		}
	}},
	{"after a mass disconnect the clients come back spread out", func(b *bench) string {
		b.start()
		var phones []*phone
		for i := range 50 {
			p := b.world.phone(fmt.Sprint(i))
			p.Jitter = nil
			b.parts.client(p.Client)
			p.on()
			phones = append(phones, p)
		}
		time.Sleep(time.Second)
		b.cut()
		time.Sleep(time.Second)
		back := len(b.server.(*push.Server).Presence())
		for _, p := range phones {
			p.off()
		}
		if back > 25 { // of 50 spread over 5 s; the mean is 10
			return fmt.Sprintf("%d of 50 clients are back within a second, where the spread is 5 s", back)
		}
		return ""
	}, "all use the same delay", func(s *subject) {
		s.client = func(c *push.Client) { c.Backoff.Base = 1 }
	}},
	{"a shutdown says goodbye", func(b *bench) string {
		b.start()
		p := b.world.phone("phone")
		var why []error
		p.OnRetry = func(err error, _ time.Duration) { why = append(why, err) }
		p.on()
		time.Sleep(time.Second)
		b.parts.shutdown(b.server)
		time.Sleep(time.Second)
		p.off()
		return differs("the server shuts down, and the client is told close code", fmt.Sprintf("%d", websocket.CloseStatus(why[0])), "1012")
	}, "the process just ends", func(s *subject) {
		s.shutdown = func(s server) { s.Close() }
	}},
}

func differs(what, got, want string) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("%s %q, want %q", what, got, want)
}

// Every promise is kept, and a system that breaks it is caught.
func TestPromisesAndBrokenVariants(t *testing.T) {
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			run := func(s subject) (wrong string) {
				inBubble(t, time.Millisecond, func(t *testing.T, w *world) {
					b := &bench{world: w, parts: s}
					wrong = p.check(b)
					b.stop()
				})
				return wrong
			}
			require.Empty(t, run(healthy()))
			s := healthy()
			p.defect(&s)
			wrong := run(s)
			require.NotEmpty(t, wrong, "not caught: %s", p.broken)
			t.Logf("%s: %s", p.broken, wrong)
		})
	}
}

// lateLog acknowledges at once and stores a second later, if it lives that long.
type lateLog struct{ eventlog.Log }

func (l *lateLog) Append(ctx context.Context, entries ...eventlog.Entry) (eventlog.Cursor, error) {
	c := l.Head()
	c.Offset += uint64(len(entries))
	return c, nil
}

// silentLog answers every question with what it has.
type silentLog struct{ eventlog.Log }

func (l silentLog) After(c eventlog.Cursor, q eventlog.Query) (eventlog.Page, error) {
	page, err := l.Log.After(c, q)
	if err == nil && page.Reset != "" {
		return l.Log.After(l.Tail(), q)
	}
	return page, err
}

// stutterLog begins with the entry before the cursor.
type stutterLog struct{ eventlog.Log }

func (l stutterLog) After(c eventlog.Cursor, q eventlog.Query) (eventlog.Page, error) {
	c.Offset = max(c.Offset, 1) - 1
	return l.Log.After(c, q)
}

// immortalLog loses the expiry.
type immortalLog struct{ eventlog.Log }

func (l immortalLog) Append(ctx context.Context, entries ...eventlog.Entry) (eventlog.Cursor, error) {
	for i := range entries {
		entries[i].Expires = time.Time{}
	}
	return l.Log.Append(ctx, entries...)
}

// naive is a push server as one writes it first. It has no log, and two defects
// to choose from.
type naive struct {
	publisherWrites bool          // instead of a writer for each connection
	ping            time.Duration // in the writer, waiting for the pong

	lock   chan struct{}
	once   sync.Once
	conns  []chan []byte
	direct []*websocket.Conn
	offset uint64
	stop   chan struct{}
}

func (n *naive) init() {
	n.once.Do(func() { n.lock, n.stop = make(chan struct{}, 1), make(chan struct{}) })
}

func (n *naive) Handler() http.Handler { return http.HandlerFunc(n.serve) }

func (n *naive) serve(w http.ResponseWriter, r *http.Request) {
	n.init()
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if _, _, err := conn.Read(context.Background()); err != nil {
				return
			}
		}
	}()
	hello := fmt.Sprintf(`{"type":"hello","hello":{"cursor":"1-0","reset":"new","now_us":%d,"ping_interval_us":3600000000,"ping_timeout_us":1000000,"window":256,"window_bytes":262144}}`, time.Now().UnixMicro())
	conn.Write(context.Background(), websocket.MessageText, []byte(hello))
	queue := make(chan []byte, 1000)
	n.lock <- struct{}{}
	n.conns, n.direct = append(n.conns, queue), append(n.direct, conn)
	<-n.lock
	var tick <-chan time.Time
	if n.ping > 0 {
		ticker := time.NewTicker(n.ping)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case b := <-queue:
			conn.Write(context.Background(), websocket.MessageBinary, b)
		case <-tick:
			conn.Ping(context.Background())
		case <-gone:
			return
		case <-n.stop:
			conn.CloseNow()
			<-gone
			return
		}
	}
}

func (n *naive) Publish(ctx context.Context, m push.Message) (push.Receipt, error) {
	n.init()
	n.lock <- struct{}{}
	defer func() { <-n.lock }()
	n.offset++
	frame := append(binary.AppendUvarint([]byte{1}, n.offset), 0, 0)
	frame = append(frame, m.Data...)
	for i, queue := range n.conns {
		if n.publisherWrites {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			n.direct[i].Write(ctx, websocket.MessageBinary, frame)
			cancel()
			continue
		}
		queue <- frame
	}
	return push.Receipt{}, nil
}

func (n *naive) Close() error {
	n.init()
	close(n.stop)
	return nil
}
