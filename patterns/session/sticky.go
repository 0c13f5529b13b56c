package session

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"hash/fnv"
	"net/http"
	"sync/atomic"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Sticky forwards each client's requests to the same one of several replicas, each of which has
// sessions that the others do not know. If a client's replica is gone, the client gets another one
// and loses its session; all others keep theirs, whichever replicas come and go. For clients that
// do not send cookies back, each request can go to any replica.
type Sticky struct {
	// Replicas returns the names of the replicas that work now. Required.
	Replicas func() []string

	// To returns a handler that forwards a request to a replica, such as a
	// httputil.ReverseProxy. Required.
	To func(replica string) http.Handler

	// Cookie is the name of the cookie, which identifies the replica by a hash of its name. Zero:
	// replica. Its attributes, with Insecure, are those of a [Manager]'s cookie. It lasts for the
	// browser session.
	Cookie   string
	Insecure bool

	pinned, moved atomic.Int64
}

// StickyStats are the counters of a [Sticky].
type StickyStats struct {
	Pinned int64 // clients that came without a cookie
	Moved  int64 // clients whose replica was gone, which lost their session
}

// Stats returns the counters.
func (s *Sticky) Stats() StickyStats { return StickyStats{s.pinned.Load(), s.moved.Load()} }

// Check returns an error that names each invalid setting and its value, or nil.
func (s *Sticky) Check() error {
	check := fields.Of("session: Sticky")
	if s.Replicas == nil {
		check.Bad("Replicas is nil: want a function that names them")
	}
	if s.To == nil {
		check.Bad("To is nil: want a function that passes requests on")
	}
	if c := (&http.Cookie{Name: s.cookie(), Value: "x"}); c.Valid() != nil {
		check.Bad("Cookie is %q: want a cookie's name", s.Cookie)
	}
	return check.Err()
}

func (s *Sticky) cookie() string { return cmp.Or(s.Cookie, "replica") }

// Handler forwards requests. It answers 503 while there is no replica. It panics if Check returns
// an error.
func (s *Sticky) Handler() http.Handler {
	if err := s.Check(); err != nil {
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all := s.Replicas()
		if len(all) == 0 {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "session: no replica works", http.StatusServiceUnavailable)
			return
		}
		to, count := "", &s.pinned
		if c, err := r.Cookie(s.cookie()); err == nil {
			count = &s.moved
			for _, name := range all {
				if signature(name) == c.Value {
					to = name
				}
			}
		}
		if to == "" {
			count.Add(1)
			to = Pick(rand.Text(), all)
			http.SetCookie(w, &http.Cookie{
				Name: s.cookie(), Value: signature(to), Path: "/", HttpOnly: true, Secure: !s.Insecure, SameSite: http.SameSiteLaxMode,
			})
		}
		s.To(to).ServeHTTP(w, r)
	})
}

// signature represents a replica's name in a cookie, without revealing it.
func signature(name string) string {
	return hex.EncodeToString(hashOf("squall replica\x00" + name)[:8])
}

// Pick returns which of the nodes a key belongs to, by rendezvous hashing (Thaler and Ravishankar,
// 1998). The result is the same as long as that node is in the list. Of K keys and N nodes, each
// node has about K/N. A node that is added takes about K/(N+1) keys, and a node that is removed
// loses only its own. The order of the nodes does not matter. It returns "" if there are none.
func Pick(key string, nodes []string) (node string) {
	var most uint64
	for _, n := range nodes {
		if w := weight(key, n); node == "" || w > most || w == most && n < node {
			node, most = n, w
		}
	}
	return node
}

// weight hashes both. FNV-1a does not spread its last bytes into the high bits, so the last of two
// names would win half of all keys. The finaliser of SplitMix64 (Steele, Lea and Flood, 2014) mends
// that.
func weight(key, node string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	h.Write([]byte{0})
	h.Write([]byte(node))
	x := h.Sum64()
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
