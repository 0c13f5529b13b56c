package push

import "fmt"

// SlowPolicy is what happens to a client whose queue is full.
type SlowPolicy int

const (
	// Disconnect closes with [StatusSlow]. The client comes back and continues
	// from the log, so nothing is lost that the log keeps.
	Disconnect SlowPolicy = iota
	// Block makes Publish wait until the client has caught up, for MaxBlock at
	// most; then it is disconnected. Other clients do not wait: they have the
	// message before the waiting begins. Nothing is lost.
	Block
	// DropOldest makes room at the head of the queue. The client is notified of how
	// many messages it lost.
	DropOldest
	// DropNewest refuses what does not fit. The client is notified of how many
	// messages it lost.
	DropNewest
	// Coalesce replaces a waiting message by a newer one of the same
	// CoalesceKey, whether the queue is full or not; the client is not notified. If
	// that does not make room the client is disconnected.
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
