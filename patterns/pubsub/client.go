package pubsub

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// ClientOptions configure a Client.
type ClientOptions struct {
	// ID names the client. One client is connected under an ID: a new one takes over,
	// and the old one ends with [ErrFenced]. At most 255 bytes.
	ID string
	// Addr is the broker's address.
	Addr string
	// DialContext opens connections. Nil: that of a zero net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialTimeout bounds opening a connection, and then the broker's first answer.
	// Zero: 10 s.
	DialTimeout time.Duration
	// MinDelay and MaxDelay bound the time from the end of a connection to the next
	// attempt. It is drawn from MinDelay to MinDelay + 1 s, so that the clients of a
	// broker do not come back together; after each failure in a row the second doubles.
	// Zero: 100 ms and 15 s.
	MinDelay, MaxDelay time.Duration
	// Rand draws the delays. Nil: a source seeded by the ID and the time.
	Rand *rand.Rand
	// AckDelay is how long acknowledgements wait for others that can be sent with them.
	// Zero: 10 ms; negative: not at all.
	AckDelay time.Duration
	// MaxUnconfirmed bounds the messages that are sent and not yet confirmed; Publish
	// waits meanwhile. Zero: 1,024.
	MaxUnconfirmed int
}

func (o ClientOptions) withDefaults() (ClientOptions, error) {
	fail := func(field string, value any, want string) (ClientOptions, error) {
		return o, fmt.Errorf("pubsub: ClientOptions.%s: %v, want %s", field, value, want)
	}
	if o.DialContext == nil {
		o.DialContext = (&net.Dialer{}).DialContext
	}
	o.DialTimeout = cmp.Or(o.DialTimeout, 10*time.Second)
	o.MinDelay = cmp.Or(o.MinDelay, 100*time.Millisecond)
	o.MaxDelay = cmp.Or(o.MaxDelay, 15*time.Second)
	o.AckDelay = cmp.Or(o.AckDelay, 10*time.Millisecond)
	o.MaxUnconfirmed = cmp.Or(o.MaxUnconfirmed, 1024)
	switch {
	case o.ID == "" || len(o.ID) > maxTopicBytes:
		return fail("ID", strconv.Quote(o.ID), "1 to 255 bytes")
	case o.Addr == "":
		return fail("Addr", `""`, "host:port")
	case o.DialTimeout < 0:
		return fail("DialTimeout", o.DialTimeout, "0 (the default) or more")
	case o.MinDelay < 0:
		return fail("MinDelay", o.MinDelay, "0 (the default) or more")
	case o.MaxDelay < o.MinDelay:
		return fail("MaxDelay", o.MaxDelay, fmt.Sprintf("at least MinDelay, %v", o.MinDelay))
	case o.MaxUnconfirmed < 0:
		return fail("MaxUnconfirmed", o.MaxUnconfirmed, "0 (the default) or more")
	}
	return o, nil
}

// Client publishes and subscribes. It keeps one connection to its broker, and opens
// another when that breaks: what was not confirmed is sent again, and subscriptions go
// on. Its methods may be called concurrently.
type Client struct {
	opts  ClientOptions
	run   string // names this life of the process
	slots chan struct{}
	ctx   context.Context // ended by Close
	stop  context.CancelFunc
	done  chan struct{} // closed when nothing runs any more
	gone  chan struct{} // closed when err is set

	mu         sync.Mutex // never held while anything blocks
	err        error      // final
	link       *link      // nil: not connected
	maxMessage int        // as the broker says; 0: it has not yet
	last       uint64     // number of a request or a subscription
	calls      map[uint64]*call
	subs       map[uint64]*Subscription
	acks       [][]byte // frames that wait for others
	ackTimer   *time.Timer
	stats      ClientStats
}

// ClientStats are a client's counters.
type ClientStats struct {
	// Connected says that there is a connection now; Connects counts those that the
	// broker has accepted.
	Connected bool
	Connects  uint64
	// Repeated counts messages that came again although they were acknowledged; the
	// client acknowledged them again and Next did not return them.
	Repeated uint64
}

// call is a request that is sent, on one connection after the other, until it is answered.
type call struct {
	frame   []byte
	message *Message      // that it publishes; nil: it does not
	of      *Subscription // with which it ends; nil: it does not
	sent    bool          // the broker may know of it
	reply   chan answer
}

type answer struct {
	receipt Receipt
	err     error
}

// NewClient returns a client that has begun to connect.
func NewClient(opts ClientOptions) (*Client, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	// A process that takes over from one of the same ID starts later.
	started := time.Now().UnixNano()
	if opts.Rand == nil {
		seed := uint64(14695981039346656037) // FNV-1a
		for _, b := range []byte(opts.ID) {
			seed = (seed ^ uint64(b)) * 1099511628211
		}
		opts.Rand = rand.New(rand.NewPCG(seed, uint64(started)))
	}
	c := &Client{
		opts: opts, run: strconv.FormatInt(started, 36),
		slots: make(chan struct{}, opts.MaxUnconfirmed),
		done:  make(chan struct{}), gone: make(chan struct{}),
		calls: map[uint64]*call{}, subs: map[uint64]*Subscription{},
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	go c.loop()
	return c, nil
}

// Publish sends a message until the broker has confirmed that it is stored. Messages of
// calls that follow each other are stored in that order. To have many on the way, call
// it from several goroutines.
//
// When ctx ends first, the error wraps its error, and [ErrUnknown] if the message may be
// stored all the same.
func (c *Client) Publish(ctx context.Context, m Message) (Receipt, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return Receipt{}, fmt.Errorf("pubsub: publish: %w", ctx.Err())
	case <-c.gone:
		return Receipt{}, c.final()
	}
	defer func() { <-c.slots }()

	c.mu.Lock()
	c.last++
	request, limit := c.last, cmp.Or(c.maxMessage, 64<<20)
	c.mu.Unlock()
	if m.ID == "" {
		m.ID = fmt.Sprintf("%s/%s/%d", c.opts.ID, c.run, request)
		m.ID = m.ID[max(0, len(m.ID)-maxTopicBytes):] // the end is what differs
	}
	if err := m.check(limit); err != nil {
		return Receipt{}, err
	}
	one := &call{frame: frame(kindPublish, request, m.Topic, uint64(m.TTL), m.encode()), message: &m, reply: make(chan answer, 1)}
	c.mu.Lock()
	c.call(request, one)
	c.mu.Unlock()
	a, err := c.wait(ctx, request, one)
	if err != nil {
		return Receipt{}, fmt.Errorf("pubsub: publish: %w", err)
	}
	return a.receipt, a.err
}

// Delete removes a durable subscription, with its position, from the broker.
func (c *Client) Delete(ctx context.Context, name string) error {
	c.mu.Lock()
	c.last++
	request := c.last
	one := &call{frame: control{Type: typeDelete, Request: request, Name: name}.frame(), reply: make(chan answer, 1)}
	c.call(request, one)
	c.mu.Unlock()
	a, err := c.wait(ctx, request, one)
	if err != nil {
		return fmt.Errorf("pubsub: delete: %w", err)
	}
	return a.err
}

// Subscribe returns when the broker has the subscription: all messages that match and
// are published from then on will be delivered, and those from its start on.
func (c *Client) Subscribe(ctx context.Context, o SubscribeOptions) (*Subscription, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Subscription{
		c: c, options: o,
		news: make(chan struct{}, 1), begun: make(chan struct{}), over: make(chan struct{}), left: make(chan struct{}),
		held: map[uint64]int{}, acked: map[uint64]int{},
	}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	c.last++
	s.id = c.last
	c.subs[s.id] = s
	if c.link != nil {
		c.link.send(s.subscribe())
	}
	c.mu.Unlock()
	select {
	case <-s.begun:
		return s, nil
	case <-s.over:
		return nil, s.final()
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		s.end(ErrUnsubscribed)
		if c.link != nil {
			c.link.send(control{Type: typeUnsubscribe, Sub: s.id}.frame())
		}
		return nil, fmt.Errorf("pubsub: subscribe: %w", ctx.Err())
	}
}

// Stats returns the client's counters.
func (c *Client) Stats() ClientStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Connected = c.link != nil
	return s
}

// closeTimeout bounds how long Close waits for its last words to be sent.
const closeTimeout = 2 * time.Second

// Close ends the client: what was acknowledged is sent, the broker is told, and gives
// what was not acknowledged to other members of the groups. Calls in progress return
// [ErrClosed].
func (c *Client) Close() error {
	c.mu.Lock()
	c.fail(ErrClosed)
	l := c.link
	if l != nil {
		c.flush()
		l.timeout.Store(int64(closeTimeout))
		l.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
		l.finish(control{Type: typeGoodbye}.frame())
	}
	c.mu.Unlock()
	if l != nil {
		<-l.closed
	}
	c.stop()
	<-c.done
	return nil
}

// fail ends everything with an error. The caller has c.mu.
func (c *Client) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	close(c.gone)
	for _, s := range c.subs {
		s.end(err)
	}
}

func (c *Client) final() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// call sends a request, now or when there is a connection. The caller has c.mu.
func (c *Client) call(request uint64, one *call) {
	c.calls[request] = one
	if c.link != nil {
		one.sent = true
		c.link.send(one.frame)
	}
}

// wait returns the answer to a call.
func (c *Client) wait(ctx context.Context, request uint64, one *call) (answer, error) {
	err := error(nil)
	select {
	case a := <-one.reply:
		return a, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.gone:
		err = c.final()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case a := <-one.reply: // at the last moment
		return a, nil
	default:
	}
	delete(c.calls, request)
	if one.sent && one.message != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return answer{}, err
}

// answer completes a call. The caller has c.mu.
func (c *Client) answer(request uint64, a answer) {
	if one := c.calls[request]; one != nil {
		delete(c.calls, request)
		one.reply <- a
	}
}

// requests returns the numbers of the calls in the order in which they were made.
func (c *Client) requests() []uint64 {
	var all []uint64
	for request := range c.calls {
		all = append(all, request)
	}
	slices.Sort(all)
	return all
}

// order returns the subscriptions in the order in which they were made.
func (c *Client) order() []*Subscription {
	var all []*Subscription
	for _, s := range c.subs {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Subscription) int { return cmp.Compare(a.id, b.id) })
	return all
}

// backoff draws the delay before the next connection, after so many failures in a row.
func (c *Client) backoff(failures int) time.Duration {
	window := c.opts.MaxDelay - c.opts.MinDelay
	if failures < 30 {
		window = min(window, time.Second<<failures)
	}
	hi, _ := bits.Mul64(c.opts.Rand.Uint64(), uint64(window))
	return c.opts.MinDelay + time.Duration(hi)
}
