package sidecar

import (
	"errors"
	"sync"
	"time"
)

// A replica is one address of an upstream.
type replica struct {
	up   *Upstream
	addr string

	// Guarded by up.mu.
	active  int64
	stats   Replica
	tally   tally
	ejected time.Time // until when; zero: it is not
	times   int       // how often, see Outlier
	healthy bool
	row     int // of checks that say otherwise

	poolMu sync.Mutex
	idle   []*upconn // the one used last is the last
	closed bool      // the replica has gone
}

// Why a request is refused before it is sent.
var errFull = errors.New("as many requests as MaxRequests are under way")

// A turn is an attempt at a replica. Call end for each.
type turn struct {
	replica *replica
	permit  Permit
}

// take chooses a replica for an attempt that begins now, other than avoid if there is another.
func (up *Upstream) take(avoid *replica, now time.Time) (turn, error) {
	permit, err := up.Breaker.begin(now)
	if err != nil {
		return turn{}, err
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	up.judge(now)
	r := up.choose(avoid)
	r.active++
	r.stats.Attempts++
	up.stats.Attempts++
	return turn{r, permit}, nil
}

// end records the result of an attempt.
func (t turn) end(result Result) { t.endAt(result, time.Now()) }

func (t turn) endAt(result Result, now time.Time) {
	if t.replica == nil {
		return
	}
	r, up := t.replica, t.replica.up
	up.mu.Lock()
	r.active--
	switch result {
	case Success:
		r.tally.good++
	case Failure:
		r.tally.bad++
		r.stats.Failures++
	}
	up.mu.Unlock()
	if t.permit.end(result, now) {
		up.log("the breaker opens")
	}
}

// choose returns a replica. up.mu is held.
func (up *Upstream) choose(avoid *replica) *replica {
	able := make([]*replica, 0, 16)
	for _, r := range up.replicas {
		if r.healthy && r.ejected.IsZero() {
			able = append(able, r)
		}
	}
	// If most seem to be down, the fault is probably in the network or the proxy itself: then none is excluded.
	if len(able)*100 < up.set.Health.MinPercent*len(up.replicas) || len(able) == 0 {
		able = append(able[:0], up.replicas...)
	}
	if avoid != nil && len(able) > 1 {
		for i, r := range able {
			if r == avoid {
				able = append(able[:i], able[i+1:]...)
				break
			}
		}
	}
	n := len(able)
	if up.Balance == RoundRobin {
		up.next++
		return able[(up.next-1)%n]
	}
	if n == 1 {
		return able[0]
	}
	i := int(up.set.Jitter(time.Duration(n - 1)))
	j := int(up.set.Jitter(time.Duration(n - 2)))
	if j >= i {
		j++ // two that differ, each pair as likely
	}
	if able[j].active < able[i].active {
		return able[j]
	}
	return able[i]
}

// checkout returns an idle connection, or nil.
func (r *replica) checkout() *upconn {
	r.poolMu.Lock()
	defer r.poolMu.Unlock()
	for len(r.idle) > 0 {
		last := len(r.idle) - 1
		u := r.idle[last]
		r.idle[last] = nil
		r.idle = r.idle[:last]
		if u.leaveIdle() {
			return u
		}
	}
	return nil
}

// giveBack returns an idle connection to the pool, and reports whether the pool keeps
// it.
func (r *replica) giveBack(u *upconn, now time.Time) bool {
	r.poolMu.Lock()
	defer r.poolMu.Unlock()
	if r.closed || len(r.idle) >= r.up.set.MaxIdle || u.generation != r.up.Credentials.number() {
		return false
	}
	u.becomeIdle(now)
	r.idle = append(r.idle, u)
	return true
}

// drop removes a connection that has ended from the pool.
func (r *replica) drop(u *upconn) {
	r.poolMu.Lock()
	defer r.poolMu.Unlock()
	for i, other := range r.idle {
		if other == u {
			r.idle = append(r.idle[:i], r.idle[i+1:]...)
			return
		}
	}
}

func (r *replica) idleConns() int64 {
	r.poolMu.Lock()
	defer r.poolMu.Unlock()
	return int64(len(r.idle))
}

// closeIdle closes the connections of a replica that was removed, which keeps no more of
// them.
func (r *replica) closeIdle() {
	r.poolMu.Lock()
	r.closed = true
	r.poolMu.Unlock()
	r.closeUnused()
}

// closeUnused closes the idle connections.
func (r *replica) closeUnused() {
	r.poolMu.Lock()
	idle := r.idle
	r.idle = nil
	r.poolMu.Unlock()
	for _, u := range idle {
		u.nc.Close()
	}
}
