package comparison

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/squall-sim/squall/patterns/session"
	"github.com/squall-sim/squall/sim"
)

// movedRun is 10,000 keys on ten replicas, to which one more comes, or of which one goes.
type movedRun struct{ how string }

const (
	rendezvous = "rendezvous (session.Pick)"
	modulo     = "hash modulo the number of replicas"
	keysOfAll  = 10_000
)

type movedFigures struct {
	added, removed int // keys that another replica has afterwards
	foreign        int // of those when one goes, that were not its own
	least, most    int // keys of one of the ten
}

func (r movedRun) run(*testing.T, *sim.Network) (f movedFigures) {
	pick := session.Pick
	if r.how == modulo {
		pick = func(key string, nodes []string) string {
			h := fnv.New64a()
			h.Write([]byte(key))
			return nodes[h.Sum64()%uint64(len(nodes))]
		}
	}
	var nodes []string
	for i := range 10 {
		nodes = append(nodes, fmt.Sprintf("replica%d", i))
	}
	load := map[string]int{}
	for i := range keysOfAll {
		key := fmt.Sprintf("client-%d", i)
		at := pick(key, nodes)
		load[at]++
		if pick(key, append(nodes[:10:10], "replica10")) != at {
			f.added++
		}
		if pick(key, nodes[1:]) != at {
			if f.removed++; at != nodes[0] {
				f.foreign++
			}
		}
	}
	f.least = keysOfAll
	for _, node := range nodes {
		f.least, f.most = min(f.least, load[node]), max(f.most, load[node])
	}
	return f
}

// failoverRun is 300 sessions of an application on three replicas, of which one dies.
type failoverRun struct{ kept string }

const (
	inMemory = "in memory, clients come back to their replica"
	shared   = "in a store that all replicas ask"
	signed   = "in the client's cookie, signed"
	sessions = 300
)

type failoverFigures struct {
	lost   int // sessions
	cookie int // bytes of one
}

func (r failoverRun) run(*testing.T, *sim.Network) (f failoverFigures) {
	replicas, names := map[string]http.Handler{}, []string{"one", "two", "three"}
	store := session.Store(&session.Memory{})
	if r.kept == signed {
		store = &session.Signed{Keys: session.FixedKeys{{Secret: []byte("a secret of thirty-two bytes, ok")}}}
	}
	for _, name := range names {
		if r.kept == inMemory {
			store = &session.Memory{}
		}
		replicas[name] = (&session.Manager{Store: store}).Handler(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			s := session.Of(q)
			if q.Method == http.MethodPost {
				s.Set("cart", "apple")
			}
			fmt.Fprint(w, s.Get("cart"))
		}))
	}
	ask := func(method, replica, cookie string) *http.Response {
		req := httptest.NewRequest(method, "https://shop/", strings.NewReader(""))
		if cookie != "" {
			req.AddCookie(&http.Cookie{Name: "session", Value: cookie})
		}
		w := httptest.NewRecorder()
		replicas[replica].ServeHTTP(w, req)
		return w.Result()
	}
	for i := range sessions {
		client := fmt.Sprintf("client-%d", i)
		cookie := ask(http.MethodPost, session.Pick(client, names), "").Cookies()[0].Value
		f.cookie = max(f.cookie, len(cookie))
		answer := make([]byte, 5)
		if n, _ := ask(http.MethodGet, session.Pick(client, names[1:]), cookie).Body.Read(answer); string(answer[:n]) != "apple" {
			f.lost++
		}
	}
	return f
}
