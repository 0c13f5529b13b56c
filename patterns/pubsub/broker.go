package pubsub

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Broker takes in messages, keeps them in a log, and delivers them to subscribers.
type Broker struct {
	log   eventlog.Log
	store *Store
	opts  BrokerOptions

	publish sync.Mutex // from looking for a duplicate until the message is stored; held over the log's disk, never over the network
	seen    dedupe

	mu         sync.Mutex // held over the store's disk for a new subscription, never over the network
	closed     bool
	listeners  map[net.Listener]bool
	conns      map[*connection]bool
	handshakes list.List           // of connections that have no session yet, oldest first
	sessions   map[string]*session // by client
	pumps      map[string]*pump    // by name; unnamed ones by client, run and number
	stats      BrokerStats

	running sync.WaitGroup
}

// NewBroker returns a broker that keeps messages in log, and the positions of durable
// subscriptions in store. With a nil store they last as long as the broker. It reads as
// much of the log as DedupeWindow covers. Close it before the log and the store.
func NewBroker(log eventlog.Log, store *Store, opts BrokerOptions) (*Broker, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		log: log, store: store, opts: opts,
		seen:      dedupe{window: opts.DedupeWindow, max: opts.DedupeMax},
		listeners: map[net.Listener]bool{},
		conns:     map[*connection]bool{},
		sessions:  map[string]*session{},
		pumps:     map[string]*pump{},
	}
	if err := b.remember(); err != nil {
		return nil, err
	}
	records, err := store.load()
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		p := newPump(b, r.name, r.options, eventlog.Cursor{})
		p.restore(&r.state)
		b.start(p)
	}
	return b, nil
}

// remember fills the window of IDs from the log.
func (b *Broker) remember() error {
	now := time.Now()
	for at := b.log.Tail(); ; {
		page, err := b.log.After(at, eventlog.Query{})
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

// start runs a pump. The caller has b.mu, or the broker to itself.
func (b *Broker) start(p *pump) {
	b.pumps[p.key] = p
	b.running.Go(p.run)
}

// Publish stores a message. When it returns, every subscription that exists and whose
// filter matches will deliver it.
func (b *Broker) Publish(m Message) (Receipt, error) {
	if err := m.check(b.opts.MaxMessageBytes); err != nil {
		return Receipt{}, err
	}
	return b.put(m)
}

// put stores a message that was checked.
func (b *Broker) put(m Message) (Receipt, error) {
	b.publish.Lock()
	defer b.publish.Unlock()
	now := time.Now()
	if m.ID != "" {
		if offset, known := b.seen.find(m.ID, now); known {
			b.count(func(s *BrokerStats) { s.Duplicates++ })
			return Receipt{Cursor: eventlog.Cursor{Epoch: b.log.Head().Epoch, Offset: offset}, Duplicate: true}, nil
		}
	}
	e := eventlog.Entry{Topic: m.Topic, Time: now, Data: m.encode()}
	if m.TTL > 0 {
		e.Expires = now.Add(m.TTL)
	}
	c, err := b.log.Append(context.Background(), e)
	if err != nil {
		return Receipt{}, fmt.Errorf("pubsub: publish: %w", err)
	}
	if m.ID != "" {
		b.seen.add(m.ID, c.Offset, now, now)
	}
	b.count(func(s *BrokerStats) { s.Published++ })
	return Receipt{Cursor: c}, nil
}

// bury stores a dead letter. Its message was accepted once, so that no limit of today is in
// its way; what the log cannot take is cut to the letter's own headers. It reports whether
// there is a letter. The error is one that may pass.
func (b *Broker) bury(p *pump, f *flight, e *eventlog.Entry) (stored bool, err error) {
	m, err := p.deadLetter(f, e)
	if err != nil {
		return false, nil // no message, though it was delivered as one
	}
	_, err = b.put(m)
	if errors.Is(err, eventlog.ErrTooLarge) {
		maps.DeleteFunc(m.Headers, func(name, _ string) bool { return !slices.Contains(deadHeaders, name) })
		_, err = b.put(m)
	}
	if errors.Is(err, eventlog.ErrTooLarge) {
		return false, nil
	}
	return err == nil, err
}

// Serve accepts clients on l until the broker is closed, when it returns [ErrClosed], or
// l fails.
func (b *Broker) Serve(l net.Listener) error {
	b.mu.Lock()
	closed := b.closed
	b.listeners[l] = true
	b.mu.Unlock()
	if closed {
		l.Close()
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			l.Close()
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.listeners, l)
			if b.closed {
				return ErrClosed
			}
			return err
		}
		b.serve(conn)
	}
}

func (b *Broker) serve(conn net.Conn) {
	c := &connection{link: newLink(conn, b.opts.SessionTimeout, b.opts.MaxMessageBytes+frameOverhead), b: b}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		conn.Close()
		return
	}
	b.conns[c] = true
	c.waiting = b.handshakes.PushBack(c)
	c.limit = time.AfterFunc(b.opts.HandshakeTimeout, c.close)
	var oldest *connection
	if b.handshakes.Len() > b.opts.MaxHandshakes {
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
// more. To delete what does not exist is no error.
func (b *Broker) Delete(name string) error {
	b.mu.Lock()
	p := b.pumps[name]
	if p == nil || p.options.Name == "" {
		b.mu.Unlock()
		return nil
	}
	delete(b.pumps, name)
	b.mu.Unlock()
	p.delete()
	return b.store.remove(name)
}

// Subscription returns what is known of a durable subscription, if it exists.
func (b *Broker) Subscription(name string) (SubscriptionInfo, bool) {
	b.mu.Lock()
	p := b.pumps[name]
	b.mu.Unlock()
	if p == nil || p.options.Name == "" {
		return SubscriptionInfo{}, false
	}
	return p.info(), true
}

// Subscriptions returns what is known of all durable subscriptions, in the order of their
// names.
func (b *Broker) Subscriptions() []SubscriptionInfo {
	b.mu.Lock()
	pumps := slices.Collect(maps.Values(b.pumps))
	b.mu.Unlock()
	var all []SubscriptionInfo
	for _, p := range pumps {
		if p.options.Name != "" {
			all = append(all, p.info())
		}
	}
	slices.SortFunc(all, func(a, b SubscriptionInfo) int { return cmp.Compare(a.Options.Name, b.Options.Name) })
	return all
}

// expire deletes a durable subscription that nobody has used for its ExpireAfter.
func (b *Broker) expire(p *pump) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pumps[p.key] != p || !p.endIdle(time.Now()) {
		return nil
	}
	delete(b.pumps, p.key)
	b.stats.ExpiredSubscriptions++
	return b.store.remove(p.key) // what cannot be removed expires again after a restart
}

// Stats returns the broker's counters.
func (b *Broker) Stats() BrokerStats {
	b.mu.Lock()
	s := b.stats
	s.Sessions, s.Subscriptions = len(b.sessions), len(b.pumps)
	s.Connections, s.Handshakes = len(b.conns), b.handshakes.Len()
	conns := slices.Collect(maps.Keys(b.conns))
	b.mu.Unlock()
	for _, c := range conns {
		s.HeldBytes += c.held()
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

// Close ends all connections and subscriptions, as a crash would: what was confirmed is
// kept, clients come back when there is a broker again. It waits until nothing runs any
// more. It may be called again.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	listeners := slices.Collect(maps.Keys(b.listeners))
	conns := slices.Collect(maps.Keys(b.conns))
	pumps := slices.Collect(maps.Values(b.pumps))
	b.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	for _, c := range conns {
		c.close() // without the lock: that of TLS waits for the network
	}
	for _, p := range pumps {
		p.end()
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
	return nil
}
