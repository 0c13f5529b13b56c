package pubsub

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

// Client publishes and subscribes. It connects at first use and keeps one connection to
// its broker. When that breaks, it opens another, sends unconfirmed messages again and
// resumes its subscriptions. ID and Addr must be set. Do not change or copy it after
// first use. Its methods may be called concurrently.
type Client struct {
	// ID names the client. Only one client can be connected under an ID: a new one
	// takes over, and the old one ends with [ErrFenced]. At most 255 bytes.
	ID string
	// Addr is the broker's address, host:port.
	Addr string
	// DialContext opens connections. Nil: a zero net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialTimeout bounds the opening of a connection, and then again the time
	// until the broker's first answer. Zero: 10 s.
	DialTimeout time.Duration
	// Token returns the token for the broker's Authenticate. It is called for each
	// connection, and must return within DialTimeout. An error is a failed attempt,
	// unless it is a final [*retry.StatusError]. Nil: no token.
	Token func(context.Context) (string, error)
	// Backoff bounds the delays between the end of a connection and the next attempt.
	// Max is 15 s by default.
	Backoff retry.Backoff
	// Jitter draws the delays within Backoff's bounds. Nil: seeded by the clock at first
	// use, and by ID.
	Jitter retry.Jitter
	// AckDelay is how long an acknowledgement waits for others to be sent with it.
	// Zero: 10 ms; negative: no delay.
	AckDelay time.Duration
	// MaxUnconfirmed bounds the messages that are sent but not yet confirmed. Publish
	// waits when there are more. Zero: 1,024.
	MaxUnconfirmed int

	// OnRetry is called with the reason why a connection ended or failed, and the delay before the
	// next attempt. It must not wait for the Client. Nil: not called.
	OnRetry func(err error, delay time.Duration)
	// Logger gets gaps and the error that ends the Client as warnings, and connections
	// that begin and end at level Debug. Nil: nothing is logged.
	Logger *slog.Logger

	once     sync.Once
	beginErr error
	backoff  retry.Backoff
	run      string // names this incarnation of the process
	prefix   string // of the IDs of messages
	slots    chan struct{}
	replies  sync.Pool       // of chan answer
	ctx      context.Context // ended by Close
	stop     context.CancelFunc
	done     chan struct{} // closed when nothing runs any more
	gone     chan struct{} // closed when err is set

	mu         sync.Mutex // never held while anything blocks
	err        error      // final
	link       *link      // nil: not connected
	maxMessage int        // as the broker says; 0: it has not yet
	last       uint64     // number of a request or a subscription
	calls      map[uint64]*call
	subs       map[uint64]*Subscription
	acks       []byte // frames that wait for others
	ackCount   int    // how many
	ackTimer   *time.Timer
	stats      ClientStats
}

// ClientStats are a client's counters.
type ClientStats struct {
	// Connected says whether there is a connection now. Connects counts those that
	// the broker has accepted.
	Connected bool
	Connects  int64
	// Repeated counts messages that were delivered again although they were
	// acknowledged. The client acknowledged them again, and Next did not return
	// them.
	Repeated int64
}

// call is a request that is sent, on one connection after the other, until it is answered.
type call struct {
	frame     []byte
	publishes bool
	size      int           // of the message that it publishes, as MaxMessageBytes counts
	of        *Subscription // with which it ends; nil: it does not
	sent      bool          // the broker may know of it
	reply     chan answer   // of room for one
}

// newReply returns a channel for an answer.
func (c *Client) newReply() chan answer {
	if r, ok := c.replies.Get().(chan answer); ok {
		return r
	}
	return make(chan answer, 1)
}

type answer struct {
	receipt Receipt
	err     error
}

// Check returns an error that names each invalid setting and its value, or nil. Publish, Subscribe and Delete call it.
func (c *Client) Check() error {
	check := fields.Of("pubsub: Client")
	if c.ID == "" || len(c.ID) > maxTopicBytes {
		check.Bad("ID is %q: want 1 to %d bytes", c.ID, maxTopicBytes)
	}
	if _, port, err := net.SplitHostPort(c.Addr); err != nil || port == "" || strings.Contains(c.Addr, "/") {
		check.Bad("Addr is %q: want host:port", c.Addr)
	}
	check.Duration("DialTimeout", c.DialTimeout)
	check.Backoff("Backoff", c.Backoff, ownBackoff)
	check.Int("MaxUnconfirmed", c.MaxUnconfirmed)
	return check.Err()
}

var ownBackoff = retry.Backoff{Max: 15 * time.Second}

// begin begins to connect, at first use.
func (c *Client) begin() error {
	c.once.Do(func() { c.beginErr = c.open() })
	return c.beginErr
}

func (c *Client) open() error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.DialContext == nil {
		c.DialContext = (&net.Dialer{}).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	fields.Default(&c.DialTimeout, 10*time.Second)
	fields.Default(&c.AckDelay, 10*time.Millisecond)
	c.backoff, c.Jitter = c.Backoff.WithDefaults(ownBackoff), c.Jitter.OrSeeded(c.ID)
	c.slots = make(chan struct{}, cmp.Or(c.MaxUnconfirmed, 1024))
	// A process that takes over from one of the same ID starts later.
	c.run = strconv.FormatInt(time.Now().UnixNano(), 36)
	c.prefix = c.ID + "/" + c.run + "/"
	c.done, c.gone = make(chan struct{}), make(chan struct{})
	c.calls, c.subs = map[uint64]*call{}, map[uint64]*Subscription{}
	c.ctx, c.stop = context.WithCancel(context.Background())
	go c.loop()
	return nil
}

// Publish sends a message until the broker has confirmed that it is stored. Messages of
// successive calls are stored in the order of the calls. To have many in transit, call it
// from several goroutines.
//
// When ctx ends first, the error wraps ctx's error, and also [ErrUnknown] if the message
// may be stored nevertheless. If the message exceeds the broker's MaxMessageBytes, the
// error is [eventlog.ErrTooLarge]. If the client may not publish it, the error is a
// [*retry.StatusError] of 403.
func (c *Client) Publish(ctx context.Context, m Message) (Receipt, error) {
	if err := c.begin(); err != nil {
		return Receipt{}, err
	}
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
	request, limit := c.last, cmp.Or(c.maxMessage, maxMessageBytes)
	c.mu.Unlock()
	if m.ID == "" {
		m.ID = c.prefix + strconv.FormatUint(request, 10)
		m.ID = m.ID[max(0, len(m.ID)-maxTopicBytes):] // the end is what differs
	}
	if err := m.check(limit); err != nil {
		return Receipt{}, err
	}
	size := m.size()
	b := beginFrame(make([]byte, 0, 32+len(m.Topic)+len(m.Key)+len(m.ID)+2*len(m.Headers)+size), kindPublish)
	b = appendText(binary.AppendUvarint(b, request), m.Topic)
	b = m.appendTo(binary.AppendUvarint(b, uint64(m.TTL)))
	one := &call{frame: endFrame(b, 0), publishes: true, size: size, reply: c.newReply()}
	c.mu.Lock()
	c.call(request, one)
	c.mu.Unlock()
	a, err := c.wait(ctx, request, one)
	c.replies.Put(one.reply) // no goroutine sends any more
	if err != nil {
		return Receipt{}, fmt.Errorf("pubsub: publish: %w", err)
	}
	return a.receipt, a.err
}

// Delete removes a durable subscription, with its position, from the broker.
func (c *Client) Delete(ctx context.Context, name string) error {
	if err := c.begin(); err != nil {
		return err
	}
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

// Subscribe returns when the broker has the subscription. It delivers all matching
// messages after its start, and all that are published from then on. If the client may
// not have it, the error is a [*retry.StatusError] of 403.
func (c *Client) Subscribe(ctx context.Context, o SubscribeOptions) (*Subscription, error) {
	if err := c.begin(); err != nil {
		return nil, err
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	s := &Subscription{
		c: c, options: o.withDefaults(),
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

// Close ends the client. It sends pending acknowledgements and notifies the broker, which
// gives unacknowledged messages to other members of the groups. Calls in progress return
// [ErrClosed]. It returns nil.
func (c *Client) Close() error {
	c.once.Do(func() { c.beginErr = ErrClosed }) // if there was no first use
	if c.beginErr != nil {
		return nil
	}
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
	if one.sent && one.publishes {
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
