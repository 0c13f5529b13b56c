package push

import "fmt"

// SlowPolicy is what happens to a client whose queue is full.
type SlowPolicy int

const (
	// Disconnect closes with [StatusSlow]. The client reconnects and continues from
	// the log, so it loses nothing that the log keeps.
	Disconnect SlowPolicy = iota
	// Block makes Publish wait until the client has caught up, for at most
	// MaxBlock; then the client is disconnected. Other clients get the message
	// before the wait begins. Nothing is lost.
	Block
	// DropOldest drops messages from the head of the queue. The client is notified
	// how many it lost.
	DropOldest
	// DropNewest drops messages that do not fit. The client is notified how many it
	// lost.
	DropNewest
	// Coalesce replaces a waiting message with a newer one of the same CoalesceKey,
	// whether or not the queue is full. The client is not notified. If that does
	// not make room, the client is disconnected.
	Coalesce
)

// String returns the name of the policy, such as "drop-oldest".
func (p SlowPolicy) String() string {
	names := [...]string{"disconnect", "block", "drop-oldest", "drop-newest", "coalesce"}
	if p < 0 || int(p) >= len(names) {
		return fmt.Sprintf("SlowPolicy(%d)", int(p))
	}
	return names[p]
}
