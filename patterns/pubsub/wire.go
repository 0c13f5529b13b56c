package pubsub

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// A frame is four bytes of length, big-endian, then as many bytes: the kind, and what
// belongs to it. Integers are unsigned varints, texts have their length before them.
const (
	kindControl = 'c' // JSON, see control
	kindPing    = 'i' // client to broker, and before a takeover broker to client: nothing
	kindPong    = 'o' // the answer: nothing
	kindPublish = 'p' // request | topic | TTL in ns | message
	kindConfirm = 'k' // request | epoch | offset | 1 if duplicate
	kindDeliver = 'd' // subscription | generation | offset | floor | attempt | time in ns | topic | message
	kindSettle  = 'a' // subscription | request or 0 | generation | offset | attempt | verb | duration in ns
	kindSettled = 'r' // request | outcome
	kindAsk     = 'q' // broker to client: subscription | number: has all that came before arrived?
	kindArrived = 'y' // the answer: the same
	kindGap     = 'g' // subscription | number | missed so far | reason | epoch | offset
	kindTold    = 't' // subscription | number of the last gap that the subscriber was told
)

// protocolVersion is what hello and welcome say. Version 1 said none, and had the options of
// a subscription by the names of their Go fields. Version 2 did not ask what has arrived.
const protocolVersion = 3

// Control frames, by type.
const (
	typeHello       = "hello"       // client: Version, Client, Token, Run, Attempt, Keep
	typeWelcome     = "welcome"     // broker: Version, SessionTimeout, MaxMessageBytes
	typeSubscribe   = "subscribe"   // client: Sub, Options, Resume
	typeSubscribed  = "subscribed"  // broker: Sub, Generation, Resumed or Fresh, Cursor, Told, Missed
	typeUnsubscribe = "unsubscribe" // client: Sub; the broker repeats it when it is done
	typeDelete      = "delete"      // client: Request, Name; likewise
	typeRefused     = "refused"     // broker: Sub or Request, Error, Status
	typeGoodbye     = "goodbye"     // client: the end; broker: Error, Status, and the connection ends
)

type control struct {
	Type            string            `json:"type"`
	Version         int               `json:"version,omitempty"`
	Client          string            `json:"client,omitempty"`
	Token           string            `json:"token,omitempty"`
	Run             string            `json:"run,omitempty"`
	Attempt         uint64            `json:"attempt,omitempty"`
	Keep            []uint64          `json:"keep,omitempty"`
	SessionTimeout  time.Duration     `json:"session_timeout_ns,omitempty"`
	MaxMessageBytes int               `json:"max_message_bytes,omitempty"`
	Sub             uint64            `json:"sub,omitempty"`
	Options         *subscriptionForm `json:"options,omitempty"`
	Resume          *resume           `json:"resume,omitempty"`
	Generation      uint64            `json:"generation,omitempty"`
	Resumed         bool              `json:"resumed,omitempty"` // all is as it was
	Fresh           bool              `json:"fresh,omitempty"`   // offsets mean other messages now
	Cursor          eventlog.Cursor   `json:"cursor,omitzero"`
	Told            uint64            `json:"told,omitempty"`
	Missed          uint64            `json:"missed,omitempty"`
	Request         uint64            `json:"request,omitempty"`
	Name            string            `json:"name,omitempty"`
	Error           string            `json:"error,omitempty"`
	Status          int               `json:"status,omitempty"` // HTTP's, if the client may not: see retry.StatusError
}

// resume says what a subscriber that comes back has.
type resume struct {
	Generation uint64     `json:"generation"`
	Held       []delivery `json:"held,omitempty"`  // received, not settled
	Acked      []delivery `json:"acked,omitempty"` // acknowledged; the broker may not know
	Gap        uint64     `json:"gap,omitempty"`   // number of the last gap that was received
	Told       uint64     `json:"told,omitempty"`  // and of the last that Next has returned
	// Seen is the position after the newest message that was ever received. A log that
	// ends before it has lost what the subscriber knows.
	Seen eventlog.Cursor `json:"seen,omitzero"`
}

// delivery names one delivery of a message.
type delivery struct {
	Offset  uint64 `json:"o"`
	Attempt int    `json:"a"`
}

func (c control) frame() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic("pubsub: " + err.Error()) // no field can fail
	}
	return frame(kindControl, b)
}

// frame puts together a frame whose body is integers, texts and bytes.
func frame(kind byte, body ...any) []byte {
	b := []byte{0, 0, 0, 0, kind}
	for _, v := range body {
		switch v := v.(type) {
		case uint64:
			b = binary.AppendUvarint(b, v)
		case int:
			b = binary.AppendUvarint(b, uint64(v))
		case string:
			b = appendText(b, v)
		case []byte:
			b = append(b, v...)
		default:
			panic(fmt.Sprintf("pubsub: frame of %T", v))
		}
	}
	return endFrame(b, 0)
}

// beginFrame appends the beginning of a frame, whose body is appended next.
func beginFrame(b []byte, kind byte) []byte { return append(b, 0, 0, 0, 0, kind) }

// endFrame puts the length into the frame that begins at from and ends with b.
func endFrame(b []byte, from int) []byte {
	binary.BigEndian.PutUint32(b[from:], uint32(len(b)-from-4))
	return b
}

// appendFrame appends a frame whose body is integers, which is what most of them are.
func appendFrame(b []byte, kind byte, body ...uint64) []byte {
	from := len(b)
	b = beginFrame(b, kind)
	for _, n := range body {
		b = binary.AppendUvarint(b, n)
	}
	return endFrame(b, from)
}

// frameOverhead is the most that a frame has besides a message's headers and data: topic,
// key, ID, the lengths of 255 headers, numbers.
const frameOverhead = 4 << 10

// maxControl bounds a control frame: that which resumes a subscription has maxResume
// deliveries of each kind, and hello the numbers of so many subscriptions.
const maxControl = 2 << 20

// maxResume is how many deliveries of each kind a subscriber that comes back tells of, the
// newest. What it does not tell of is delivered again, and acknowledged again.
const maxResume = 2 * maxInFlight

// A link is one end of a connection: frames are read from it one by one, and written
// by a goroutine of its own, so that callers with something to send do not wait for the
// network.
type link struct {
	conn    net.Conn
	timeout atomic.Int64 // of silence; a write that makes no progress has half of it at least; ns
	made    time.Time
	heard   atomic.Int64 // when something was last read, in ns since then: a step of the wall clock is no silence
	max     int          // bytes of a frame
	// The reader's own: what was read and not yet returned is buf[from:to].
	buf      []byte
	from, to int
	small    int // reads in a row that would have fitted into a small buffer
	// The writer's own.
	writeDue time.Time

	mu     sync.Mutex // never held while anything blocks
	out    []byte     // still to be written
	busy   int        // bytes being written
	asked  int        // of out, answers
	last   bool       // close when out is written
	wake   chan struct{}
	taken  chan struct{} // a token: the writer has taken out
	closed chan struct{}
	once   sync.Once
}

func newLink(conn net.Conn, timeout time.Duration, max int) *link {
	l := &link{conn: conn, max: max, made: time.Now(), wake: make(chan struct{}, 1), taken: make(chan struct{}, 1), closed: make(chan struct{})}
	l.timeout.Store(int64(timeout))
	conn.SetReadDeadline(l.made.Add(timeout))
	return l
}

// lastHeard is when something was last read.
func (l *link) lastHeard() time.Time { return l.made.Add(time.Duration(l.heard.Load())) }

// A link reads into a small buffer, which is all that most need, as long as what comes
// fits, and else into a large one, so that much is read and worked on at once.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

// read reads from the connection and notes that something came. The deadline is moved
// when it has come, and not on every read: most connections are never silent for so long,
// and to move a timer costs.
func (l *link) read(b []byte) (int, error) {
	for {
		n, err := l.conn.Read(b)
		if n > 0 {
			l.heard.Store(int64(time.Since(l.made)))
			return n, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		due := l.lastHeard().Add(time.Duration(l.timeout.Load()))
		if !time.Now().Before(due) {
			return 0, err
		}
		l.conn.SetReadDeadline(due)
	}
}

// fill reads until the buffer has n bytes, which must fit into a small one.
func (l *link) fill(n int) error {
	for l.to-l.from < n {
		l.to, l.from = copy(l.buf, l.buf[l.from:l.to]), 0
		switch {
		case len(l.buf) == 0, l.small > 64 && len(l.buf) > smallBuffer:
			l.resize(smallBuffer)
		case l.small < 0:
			l.resize(largeBuffer)
		}
		got, err := l.read(l.buf[l.to:])
		if err != nil {
			return err
		}
		switch l.to += got; {
		case l.to == len(l.buf) && l.to < largeBuffer:
			l.small = -1
		case l.to < smallBuffer:
			l.small++
		default:
			l.small = 0
		}
	}
	return nil
}

// resize replaces the buffer, which has no more in it than fits.
func (l *link) resize(size int) {
	b := make([]byte, size)
	copy(b, l.buf[:l.to])
	l.buf, l.small = b, 0
}

// frameHead is the length and the kind of a frame.
const frameHead = 5

// next reads a frame. The body is valid until the next call.
func (l *link) next() (kind byte, body []byte, err error) {
	if err := l.fill(frameHead); err != nil {
		return 0, nil, err
	}
	head := l.buf[l.from : l.from+frameHead]
	kind = head[4]
	n, most := int64(binary.BigEndian.Uint32(head)), int64(l.max)
	if kind == kindControl {
		most = max(most, maxControl)
	}
	if n < 1 || n > most {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes, want 1 to %d", errProtocol, n, most)
	}
	size := int(n) - 1
	l.from += frameHead
	if l.to-l.from >= size || size <= smallBuffer {
		if err := l.fill(size); err != nil {
			return 0, nil, err
		}
		l.from += size
		return kind, l.buf[l.from-size : l.from], nil
	}
	// No more memory than has come: the length is only what the other side says.
	body = append(body, l.buf[l.from:l.to]...)
	l.from, l.to = 0, 0
	for len(body) < size {
		from := len(body)
		body = slices.Grow(body, min(size-from, max(largeBuffer, from)))
		got, err := l.read(body[from:min(size, cap(body))])
		if err != nil {
			return 0, nil, err
		}
		body = body[:from+got]
	}
	return kind, body, nil
}

// more reports whether another frame has been read as a whole.
func (l *link) more() bool {
	there := l.buf[l.from:l.to]
	return len(there) >= frameHead && int64(len(there)) >= 4+int64(binary.BigEndian.Uint32(there))
}

// drain reads on until the connection ends.
func (l *link) drain() {
	for err := error(nil); err == nil; {
		l.from, l.to = 0, 0
		err = l.fill(1)
	}
}

// send queues frames. It does not block.
func (l *link) send(frames ...[]byte) {
	l.mu.Lock()
	if !l.last {
		for _, f := range frames {
			l.out = append(l.out, f...)
		}
	}
	l.mu.Unlock()
	l.kick()
}

// maxAnswers is how many bytes of answers wait for a client that does not read, before
// nothing is read from it either.
const maxAnswers = 1 << 20

// answer queues frames that the other side has asked for.
func (l *link) answer(frames []byte) {
	l.mu.Lock()
	l.asked += len(frames)
	l.mu.Unlock()
	l.send(frames)
}

// awaitReader waits until the other side has read most of what it asked for. What else is
// queued has bounds of its own.
func (l *link) awaitReader() {
	for {
		l.mu.Lock()
		wait := l.asked > maxAnswers
		l.mu.Unlock()
		if !wait {
			return
		}
		select {
		case <-l.taken:
		case <-l.closed:
			return
		}
	}
}

// finish closes the connection after these frames.
func (l *link) finish(frames ...[]byte) {
	l.send(frames...)
	l.mu.Lock()
	l.last = true
	l.mu.Unlock()
	l.kick()
}

func (l *link) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// held returns the bytes that wait to be written.
func (l *link) held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.out) + l.busy
}

// write writes what is queued, until the link is closed. It pings so often, if that is
// not zero.
func (l *link) write(ping time.Duration) {
	defer l.close()
	var tick <-chan time.Time
	if ping > 0 {
		ticker := time.NewTicker(ping)
		defer ticker.Stop()
		tick = ticker.C
	}
	var spare []byte
	for {
		l.mu.Lock()
		out, last := l.out, l.last
		l.out, l.busy, l.asked = spare[:0], len(out), 0
		l.mu.Unlock()
		select {
		case l.taken <- struct{}{}:
		default:
		}
		if len(out) == 0 && last {
			return
		}
		if len(out) == 0 {
			spare = out
			select {
			case <-l.wake:
				// Others who are ready to run may have something to send too.
				runtime.Gosched()
			case <-tick:
				l.send(frame(kindPing))
			case <-l.closed:
				return
			}
			continue
		}
		if err := l.writeAll(out); err != nil {
			return
		}
		if spare = out; cap(spare) > 64<<10 {
			spare = nil // a burst is no reason to keep its room
		}
	}
}

// writeAll writes piece by piece, so that a slow link is not taken for a dead one.
func (l *link) writeAll(b []byte) error {
	for len(b) > 0 {
		piece := b[:min(len(b), 16<<10)]
		now, timeout := time.Now(), time.Duration(l.timeout.Load())
		if l.writeDue.Sub(now) < timeout/2 {
			l.writeDue = now.Add(timeout)
			l.conn.SetWriteDeadline(l.writeDue)
		}
		if _, err := l.conn.Write(piece); err != nil {
			return err
		}
		b = b[len(piece):]
		l.mu.Lock()
		l.busy -= len(piece)
		l.mu.Unlock()
	}
	return nil
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.closed)
		l.conn.Close()
	})
}
