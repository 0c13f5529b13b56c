package push

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// ServerStats are a server's counters since it was created, except for those of
// the present, marked "now".
type ServerStats struct {
	// Sessions counts the clients connected now. Live of them read from their
	// queue, the others from the log.
	Sessions, Live int64
	// Queued and QueuedBytes are what waits for all clients now, PeakQueue and
	// PeakQueueBytes the most that ever waited for one client.
	Queued, QueuedBytes       int64
	PeakQueue, PeakQueueBytes int64

	// Accepted counts accepted connections. Refused counts those that
	// Authenticate refused, Overload those refused because of MaxClients or
	// Drain, and Stale those refused because a newer connection of the same Run
	// had arrived first.
	Accepted, Refused, Overload, Stale int64
	// Recovered counts sessions that continued from their cursor. Resets counts the
	// others, by reason.
	Recovered int64
	Resets    map[eventlog.Reason]int64

	// Published counts messages appended to the log. Now counts those with TTL [Now];
	// NotDelivered of these were confirmed by no client.
	Published, Now, NotDelivered int64
	// Sent counts messages written to a connection, Acked those acknowledged.
	Sent, Acked int64
	// Expired counts messages that expired in a mailbox or in the queue of a
	// connected client. A message for several clients counts once for each.
	Expired int64
	// DroppedOldest, DroppedNewest and Coalesced count messages to which the
	// policy of that name applied.
	DroppedOldest, DroppedNewest, Coalesced int64
	// Blocked counts how often Publish waited for a client. BlockedTime is how
	// long it waited in total.
	Blocked     int64
	BlockedTime time.Duration

	// Why sessions ended. Gone: the client closed, or its connection broke. Slow:
	// [StatusSlow]. Silent: no sign of life after a ping. WriteTimeouts: one write took
	// too long. TooBig: the client or the server closed with 1009. Unauthorized: the
	// credentials expired. Fenced: another connection took over. Drained: Drain or
	// Close was called. Failed: the log or one of the user's functions failed.
	Gone, Fenced, Slow, Silent, WriteTimeouts, TooBig, Unauthorized, Drained, Failed int64
}

// Stats returns a snapshot of the counters.
func (s *Server) Stats() ServerStats {
	if s.ready() != nil {
		return ServerStats{}
	}
	s.mu.Lock()
	s.expire(time.Now())
	stats := s.stats
	stats.Sent = s.sent.Load()
	stats.Resets = maps.Clone(s.stats.Resets)
	sessions := slices.Collect(maps.Values(s.sessions))
	s.mu.Unlock()
	// One that ends meanwhile adds to the server's own counters, of which this is a copy.
	stats.Sessions = int64(len(sessions))
	for _, c := range sessions {
		c.mu.Lock()
		c.addTo(&stats)
		stats.Queued += int64(c.queue.count)
		stats.QueuedBytes += int64(c.queue.bytes)
		if c.live {
			stats.Live++
		}
		c.mu.Unlock()
	}
	return stats
}

// Presence is a connected client.
type Presence struct {
	Client string // its name
	// Since is when its session began.
	Since time.Time
	// Sent is the position up to which messages were written to the connection,
	// Acked the position that the client has acknowledged, which is zero until
	// its first acknowledgement.
	Sent, Acked eventlog.Cursor
	// Queued is the number of messages that wait to be sent, QueuedBytes their
	// size.
	Queued, QueuedBytes int
}

// Presence returns the connected clients, sorted by name. A client that died
// silently is included until the heartbeat detects it.
func (s *Server) Presence() []Presence {
	s.mu.Lock()
	sessions := slices.Collect(maps.Values(s.sessions))
	s.mu.Unlock()
	list := make([]Presence, 0, len(sessions))
	for _, c := range sessions {
		c.mu.Lock()
		list = append(list, Presence{
			Client: c.id.Client, Since: c.since, Sent: c.sent, Acked: c.acked,
			Queued: c.queue.count, QueuedBytes: c.queue.bytes,
		})
		c.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b Presence) int { return strings.Compare(a.Client, b.Client) })
	return list
}

// Online reports whether the client is connected.
func (s *Server) Online(client string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[client] != nil
}
