package push

import (
	"errors"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Message is a message to publish with [Server.Publish].
type Message struct {
	// Topic selects the receivers: clients whose Identity may see the topic and that
	// asked for it or for no topic in particular; or, if it is the [Mailbox] of a
	// client, that client alone. At most 1,024 bytes.
	Topic string
	// TTL is how long the message waits for a client that is offline or slow. Zero: as
	// long as the log keeps it. [Now]: it is delivered now or not at all, Publish
	// reports which, and it is not in the log.
	TTL time.Duration
	// Data is the payload.
	Data []byte
}

// Now is the TTL of a message that is not kept for clients that connect later.
const Now time.Duration = -1

// maxMessageBytes is the most that a bound on messages can be set to.
const maxMessageBytes = 1 << 30

// maxTopicBytes keeps a frame's header within what clients expect.
const maxTopicBytes = 1 << 10

// maxClientBytes bounds a client's name, so that its mailbox is a topic.
const maxClientBytes = maxTopicBytes - len(mailboxPrefix)

// mailboxPrefix begins topics that belong to one client.
const mailboxPrefix = "client/"

// Mailbox returns the topic that only this client receives.
func Mailbox(client string) string { return mailboxPrefix + client }

// Receipt is the result of Publish.
type Receipt struct {
	// Cursor is the message's position in the log. The message is as durable as
	// the log. Zero for a message with TTL Now.
	Cursor eventlog.Cursor
	// Online is the number of clients to which the message was sent at once,
	// Delivered the number of those that confirmed that they handled it. Both
	// are zero for a message in the log.
	Online, Delivered int
}

// ReasonNew is the reason of a [Reset] for a client that connected without a cursor.
// Other reasons are those of package eventlog.
const ReasonNew eventlog.Reason = "new"

// Close codes of this package, from the range that RFC 6455 section 7.4.2 leaves to
// applications. The server also uses 1001 for Close, 1008 for expired credentials,
// 1009 for an oversized message, 1011 when the log or the snapshot fails and 1012
// for Drain.
const (
	// StatusFenced: another connection with the same client id has taken over.
	StatusFenced websocket.StatusCode = 4001
	// StatusSlow: the client did not keep up.
	StatusSlow websocket.StatusCode = 4002
)

var (
	// ErrNotDelivered is returned by Publish for a message with TTL Now that no
	// client has confirmed. A client may still have received it, if its confirmation
	// was lost.
	ErrNotDelivered = errors.New("push: not delivered")
	// ErrDraining is returned by Publish after Drain was called, ErrClosed after Close
	// was. The message is not in the log.
	ErrDraining = errors.New("push: server is draining")
	ErrClosed   = errors.New("push: server is closed")

	// ErrFenced ends Run when another connection has taken over the client id.
	ErrFenced = errors.New("push: another connection has taken over this client id")
	// ErrGap ends Run when messages were dropped and there is no OnGap.
	ErrGap = errors.New("push: messages were dropped and Client.OnGap is nil")
	// ErrReset ends Run when there is no OnReset and the server cannot continue from
	// the client's cursor, or has a snapshot for a new client.
	ErrReset = errors.New("push: the client has to start again and Client.OnReset is nil")
)
