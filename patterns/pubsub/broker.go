package pubsub

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Broker accepts messages, keeps them in a log, and delivers them to subscribers. The zero
// value is ready to use, with a log in memory. Do not change or copy it after first use. At
// first use it reads the Store and the part of the log that DedupeWindow covers.
type Broker struct {
	// Log keeps the messages. Nil: an eventlog.Memory with default bounds. Its owner closes
	// it, after the Broker.
	Log eventlog.Log
	// Store keeps the positions of durable subscriptions. Nil: they last as long as the
	// Broker. Its owner closes it, after the Broker.
	Store *Store

	// SessionTimeout is how long a client may be silent, or without a connection, before
	// it loses its subscriptions. Clients send a ping every third of it, and consider the
	// broker dead when they have heard nothing for SessionTimeout. Zero: 30 s. From 1 s to
	// 24 h.
	SessionTimeout time.Duration
	// HandshakeTimeout bounds the time from accepting a connection until its client has
	// identified itself and, if it takes over from another process, has answered a ping.
	// Then the connection is closed, even if data still trickles in. Zero: 10 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes bounds the connections in their handshake. If there are more, the
	// oldest of them is closed. Each takes about 12 KB. Zero: 4,096.
	MaxHandshakes int
	// DedupeWindow is how long the ID of a message is remembered. A message that is
	// published again later is stored again. Zero: 2 min; negative: IDs are not
	// remembered.
	DedupeWindow time.Duration
	// DedupeMax bounds the number of IDs remembered; the oldest make room. Zero:
	// 100,000.
	DedupeMax int
	// MaxMessageBytes bounds a message's data with its headers. Zero: 64 KiB. At most
	// 64 MiB.
	MaxMessageBytes int
	// MaxClients bounds the clients that are connected or can still come back. Further
	// ones are refused. Zero: no bound.
	MaxClients int
	// MaxSubscriptions bounds the subscriptions of one client. Further ones are
	// refused. Zero: 1,024.
	MaxSubscriptions int

	// Authenticate returns who a client is, and what it may subscribe to and publish. If the
	// Identity has a Client, it must be that of Hello. ctx ends with HandshakeTimeout. An error
	// refuses the client, permanently unless it is a [*retry.StatusError] with a temporary
	// status. When the Identity expires, the connection ends, and the client reconnects with a
	// new token. Nil: everyone may do everything, under any name.
	Authenticate func(ctx context.Context, h Hello) (access.Identity, error)

	// Logger gets, as warnings, clients that are refused, fenced, slow or silent for too
	// long, and subscriptions that expire; as errors, failures of the log and the store, and
	// messages that are given up without a dead letter; at level Debug, connections that
	// begin and end. Nil: nothing is logged.
	Logger *slog.Logger

	once     sync.Once
	beginErr error
	set      settings

	seen dedupe

	published, duplicates atomic.Int64
	ending                atomic.Pointer[error] // what Publish and Serve return after Drain and Close
	unused                bool                  // it ended before its first use
	closed                atomic.Bool
	ctx                   context.Context // ended by Close
	stop                  context.CancelFunc

	mu          sync.Mutex // held over the store's disk for a new subscription, never over the network
	listeners   map[net.Listener]bool
	conns       map[*connection]bool
	handshakes  list.List              // of connections that have no session yet, oldest first
	sessions    map[string]*session    // by client
	dispatchers map[string]*dispatcher // by name; unnamed ones by client, run and number
	stats       BrokerStats

	running sync.WaitGroup
}

// Hello is how a client identifies itself when it connects.
type Hello struct {
	Client string   // its ID
	Token  string   // from its Token function
	Remote net.Addr // the address it connects from
}

// settings are the fields of a Broker with their defaults.
type settings struct {
	SessionTimeout, HandshakeTimeout, DedupeWindow                          time.Duration
	MaxHandshakes, DedupeMax, MaxMessageBytes, MaxClients, MaxSubscriptions int
}

func (b *Broker) settings() settings {
	return settings{
		SessionTimeout:   cmp.Or(b.SessionTimeout, 30*time.Second),
		HandshakeTimeout: cmp.Or(b.HandshakeTimeout, 10*time.Second),
		DedupeWindow:     cmp.Or(b.DedupeWindow, 2*time.Minute),
		MaxHandshakes:    cmp.Or(b.MaxHandshakes, 4096),
		DedupeMax:        cmp.Or(b.DedupeMax, 100_000),
		MaxMessageBytes:  cmp.Or(b.MaxMessageBytes, 64<<10),
		MaxClients:       b.MaxClients,
		MaxSubscriptions: cmp.Or(b.MaxSubscriptions, 1024),
	}
}

const (
	maxMessageBytes   = 64 << 20       // what Broker.MaxMessageBytes can be at most
	maxSessionTimeout = 24 * time.Hour // likewise SessionTimeout
)

// Check returns an error that names each invalid setting and its value, or nil.
func (b *Broker) Check() error {
	check := fields.Of("pubsub: Broker")
	check.Duration("HandshakeTimeout", b.HandshakeTimeout)
	check.Int("MaxHandshakes", b.MaxHandshakes)
	check.Int("DedupeMax", b.DedupeMax)
	check.Int("MaxMessageBytes", b.MaxMessageBytes)
	check.Int("MaxClients", b.MaxClients)
	check.Int("MaxSubscriptions", b.MaxSubscriptions)
	set := b.settings()
	if set.SessionTimeout < time.Second || set.SessionTimeout > maxSessionTimeout {
		check.Bad("SessionTimeout is %v: want 0 for the default, or 1s to %v", b.SessionTimeout, maxSessionTimeout)
	}
	if set.MaxMessageBytes > maxMessageBytes {
		check.Bad("MaxMessageBytes is %d: want at most 64 MiB, %d", b.MaxMessageBytes, maxMessageBytes)
	}
	return check.Err()
}

// begin makes the broker ready, at first use.
func (b *Broker) begin() error {
	b.once.Do(func() { b.beginErr = b.open() })
	if b.unused {
		return b.ended()
	}
	return b.beginErr
}

func (b *Broker) open() error {
	if err := b.Check(); err != nil {
		return err
	}
	if b.Log == nil {
		b.Log = eventlog.NewMemory(eventlog.Options{})
	}
	if b.Logger == nil {
		b.Logger = slog.New(slog.DiscardHandler)
	}
	b.set = b.settings()
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.seen.window, b.seen.max = b.set.DedupeWindow, b.set.DedupeMax
	b.listeners, b.conns = map[net.Listener]bool{}, map[*connection]bool{}
	b.sessions, b.dispatchers = map[string]*session{}, map[string]*dispatcher{}
	if err := b.remember(); err != nil {
		return err
	}
	records, err := b.Store.load()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		d := newDispatcher(b, r.name, r.options, eventlog.Cursor{})
		d.restore(&r.state)
		b.start(d, false)
	}
	return nil
}

// remember fills the window of IDs from the log.
func (b *Broker) remember() error {
	now := time.Now()
	for at := b.Log.Tail(); ; {
		page, err := b.Log.After(at, eventlog.Query{})
		if err != nil {
			return fmt.Errorf("pubsub: read the log: %w", err)
		}
		if page.Reset != "" {
			return fmt.Errorf("pubsub: read the log: %s at its own tail", page.Reset)
		}
		for _, e := range page.Entries {
			var m Message
			if err := m.decode(e.Data); err != nil {
				return fmt.Errorf("pubsub: read the log: entry %d is not a message: %w", e.Offset, err)
			}
			if m.ID != "" {
				b.seen.add(m.ID, e.Offset, e.Time, now)
			}
		}
		if at = page.Next; !page.More {
			return nil
		}
	}
}

// start runs a dispatcher; one that is new begins when its first member has joined, which wakes it, so that the
// member's answer is sent with what the first round finds. The caller has b.mu.
func (b *Broker) start(d *dispatcher, isNew bool) {
	b.dispatchers[d.key] = d
	b.running.Go(func() {
		if isNew {
			select {
			case <-d.wake:
			case <-d.stop:
			}
		}
		d.run()
	})
}

// Publish stores a message. When it returns, every existing subscription whose filter
// matches will deliver it.
//
// The error wraps [eventlog.ErrTooLarge] if the message exceeds MaxMessageBytes or does
// not fit into the log. After Drain it is [ErrDraining], and after Close [ErrClosed].
func (b *Broker) Publish(ctx context.Context, m Message) (Receipt, error) {
	if err := b.begin(); err != nil {
		return Receipt{}, err
	}
	if err := m.check(b.set.MaxMessageBytes); err != nil {
		return Receipt{}, err
	}
	return b.put(ctx, m)
}

// ended returns why nothing new is taken.
func (b *Broker) ended() error {
	if err := b.ending.Load(); err != nil {
		return *err
	}
	return nil
}

// endWith says that nothing new is taken, and why. Close comes after Drain, and not the reverse.
func (b *Broker) endWith(err error) {
	if err == ErrClosed {
		b.ending.Store(&err)
	} else {
		b.ending.CompareAndSwap(nil, &err)
	}
	b.once.Do(func() { b.unused = true })
}

// put stores a message that was checked.
func (b *Broker) put(ctx context.Context, m Message) (Receipt, error) {
	one := [1]publication{{topic: m.Topic, ttl: m.TTL, data: m.encode(), id: m.ID}}
	b.storeAll(ctx, one[:])
	return one[0].receipt, one[0].err
}

// deadLetter stores a dead letter. Its message was accepted once, so that no limit of today
// is in its way; what the log cannot take is cut to the letter's own headers. It reports
// whether there is a letter. The error is one that may pass.
func (b *Broker) deadLetter(d *dispatcher, f *flight, e *eventlog.Entry) (stored bool, err error) {
	m, err := d.letter(f, e)
	if err == nil {
		_, err = b.put(context.Background(), m)
		if errors.Is(err, eventlog.ErrTooLarge) {
			maps.DeleteFunc(m.Headers, func(name, _ string) bool { return !isDeadHeader(name) })
			_, err = b.put(context.Background(), m)
		}
		if err == nil || !errors.Is(err, eventlog.ErrTooLarge) {
			return err == nil, err
		}
	} // else it is no message, though it was delivered as one
	b.Logger.Error("a message is given up without a dead letter", "subscription", d.key, "topic", e.Topic, "offset", e.Offset, "error", err)
	return false, nil
}

// Serve accepts clients on l until the broker is drained or closed, when it returns
// [ErrDraining] or [ErrClosed], or until l fails. It closes l. If [Broker.Check] returns an
// error, or the log or the store cannot be read, Serve returns that error at once. It panics
// if l is nil.
func (b *Broker) Serve(l net.Listener) error {
	if l == nil {
		panic("pubsub: Broker.Serve: l is nil: want a listener")
	}
	if err := b.begin(); err != nil {
		l.Close()
		return err
	}
	b.mu.Lock()
	ended := b.ended() != nil
	b.listeners[l] = true
	b.mu.Unlock()
	if ended {
		l.Close()
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			l.Close()
			b.mu.Lock()
			delete(b.listeners, l)
			b.mu.Unlock()
			return cmp.Or(b.ended(), err)
		}
		b.serve(conn)
	}
}

func (b *Broker) serve(conn net.Conn) {
	c := &connection{link: newLink(conn, b.set.SessionTimeout, b.set.MaxMessageBytes+frameOverhead), b: b}
	b.mu.Lock()
	if b.ended() != nil {
		b.mu.Unlock()
		conn.Close()
		return
	}
	b.conns[c] = true
	c.waiting = b.handshakes.PushBack(c)
	c.limit = time.AfterFunc(b.set.HandshakeTimeout, c.close)
	var oldest *connection
	if b.handshakes.Len() > b.set.MaxHandshakes {
		oldest = b.handshakes.Remove(b.handshakes.Front()).(*connection)
		b.stats.Crowded++
	}
	b.running.Go(func() { c.write(0) })
	b.running.Go(func() {
		c.run()
		b.greeted(c)
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.conns, c)
	})
	b.mu.Unlock()
	if oldest != nil {
		b.Logger.Warn("too many handshakes", "remote", oldest.conn.RemoteAddr())
		b.running.Go(oldest.close) // that of TLS waits for the network
	}
}

// greeted says that a connection's handshake is over.
func (b *Broker) greeted(c *connection) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handshakes.Remove(c.waiting) // nothing, if it was removed before
	c.limit.Stop()
}

// Delete removes a durable subscription and its position. Its subscribers get nothing
// more. Deleting one that does not exist is not an error.
func (b *Broker) Delete(name string) error {
	if err := b.begin(); err != nil {
		return err
	}
	b.mu.Lock()
	d := b.dispatchers[name]
	if d == nil || d.options.Name == "" {
		b.mu.Unlock()
		return nil
	}
	delete(b.dispatchers, name)
	b.mu.Unlock()
	d.delete()
	return b.Store.remove(name)
}

// Subscription returns information about a durable subscription, and whether it
// exists.
func (b *Broker) Subscription(name string) (SubscriptionInfo, bool) {
	if b.begin() != nil {
		return SubscriptionInfo{}, false
	}
	b.mu.Lock()
	d := b.dispatchers[name]
	b.mu.Unlock()
	if d == nil || d.options.Name == "" {
		return SubscriptionInfo{}, false
	}
	return d.info(), true
}

// Subscriptions returns information about all durable subscriptions, sorted by name.
func (b *Broker) Subscriptions() []SubscriptionInfo {
	if b.begin() != nil {
		return nil
	}
	b.mu.Lock()
	dispatchers := slices.Collect(maps.Values(b.dispatchers))
	b.mu.Unlock()
	var all []SubscriptionInfo
	for _, d := range dispatchers {
		if d.options.Name != "" {
			all = append(all, d.info())
		}
	}
	slices.SortFunc(all, func(a, b SubscriptionInfo) int { return cmp.Compare(a.Options.Name, b.Options.Name) })
	return all
}

// expire deletes a durable subscription that no client has used for its ExpireAfter.
func (b *Broker) expire(d *dispatcher) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dispatchers[d.key] != d || !d.endIdle(time.Now()) {
		return nil
	}
	b.Logger.Warn("a subscription expires", "subscription", d.key, "topic", d.options.Filter)
	delete(b.dispatchers, d.key)
	b.stats.ExpiredSubscriptions++
	return b.Store.remove(d.key) // what cannot be removed expires again after a restart
}

// Stats returns the broker's counters.
func (b *Broker) Stats() BrokerStats {
	b.mu.Lock()
	s := b.stats
	s.Published, s.Duplicates = b.published.Load(), b.duplicates.Load()
	s.Sessions, s.Subscriptions = int64(len(b.sessions)), int64(len(b.dispatchers))
	s.Connections, s.Handshakes = int64(len(b.conns)), int64(b.handshakes.Len())
	conns := slices.Collect(maps.Keys(b.conns))
	b.mu.Unlock()
	for _, c := range conns {
		s.HeldBytes += int64(c.held())
		if c.welcomed.Load() {
			s.Clients++
		}
	}
	return s
}

func (b *Broker) count(f func(*BrokerStats)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.stats)
}

// Drain shuts the broker down gracefully. It accepts no more clients and messages,
// writes everything that is queued for each client, confirmations first, and ends the
// connections. Clients reconnect after a delay; they then send unconfirmed messages
// again, which are stored once. When all are gone, or ctx is done, Drain closes the
// broker. It returns ctx's error if ctx was done first.
func (b *Broker) Drain(ctx context.Context) error {
	b.endWith(ErrDraining)
	b.mu.Lock()
	listeners := slices.Collect(maps.Keys(b.listeners))
	conns := slices.Collect(maps.Keys(b.conns))
	b.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for _, c := range conns {
			c.finish(control{Type: typeGoodbye, Error: "the broker is draining"}.frame())
		}
		for _, c := range conns {
			<-c.closed
		}
	}()
	err := error(nil)
	select {
	case <-gone:
	case <-ctx.Done():
		err = ctx.Err()
	}
	b.shut()
	<-gone
	return err
}

// Close ends all connections and subscriptions, as a crash would: confirmed messages
// are kept, and clients reconnect when there is a broker again. It waits until nothing
// runs any more, and returns nil. It can be called again.
func (b *Broker) Close() error {
	b.endWith(ErrClosed)
	b.shut()
	return nil
}

// shut ends all connections and subscriptions, and waits until nothing runs any more.
func (b *Broker) shut() {
	b.mu.Lock()
	b.closed.Store(true)
	listeners := slices.Collect(maps.Keys(b.listeners))
	conns := slices.Collect(maps.Keys(b.conns))
	dispatchers := slices.Collect(maps.Values(b.dispatchers))
	b.mu.Unlock()
	if b.stop != nil {
		b.stop()
	}
	for _, l := range listeners {
		l.Close()
	}
	for _, c := range conns {
		c.close() // without the lock: that of TLS waits for the network
	}
	for _, d := range dispatchers {
		d.end()
	}
	b.running.Wait()

	// No connection is left that could make another session or subscription.
	b.mu.Lock()
	sessions := slices.Collect(maps.Values(b.sessions))
	b.mu.Unlock()
	slices.SortFunc(sessions, func(a, b *session) int { return cmp.Compare(a.client, b.client) })
	for _, s := range sessions {
		s.end(nil)
	}
}
