package session_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/session"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// The failures of state that outlives a request.
var scenarios = []scenario.Row{
	// A replica dies, or comes.
	{Name: "SS-01 the replica of a third of the sessions dies", Reason: "with sessions in memory exactly its sessions are lost, and the balancer counts them",
		Story: func(t *testing.T, n *sim.Network) {
			s := openShop(t, n, 3, inMemory)
			b := s.sticky()
			all := loggedIn(t, n, 30)
			before := sessions(s)
			s.dies("replica2")
			lost := loggedOut(all)
			require.Equal(t, before["replica2"], lost)
			require.EqualValues(t, lost, b.Stats().Moved)
			require.Greater(t, lost, 3)
		}},
	{Name: "SS-02 the same with a store that all share", Reason: "with a shared store the replica held nothing that the others do not have",
		Story: func(t *testing.T, n *sim.Network) {
			s := openShop(t, n, 3, shared(n))
			s.sticky()
			all := loggedIn(t, n, 30)
			s.dies("replica2")
			require.Zero(t, loggedOut(all))
		}},
	{Name: "SS-03 the same with signed tokens", Reason: "with signed tokens the clients hold the sessions",
		Story: func(t *testing.T, n *sim.Network) {
			s := openShop(t, n, 3, signed)
			s.anywhere(inTurn())
			all := loggedIn(t, n, 30)
			s.dies("replica2")
			require.Zero(t, loggedOut(all))
		}},
	{Name: "SS-04 a replica is added", Reason: "existing sessions must stay where they are (kubernetes/ingress-nginx#4475)",
		Story: func(t *testing.T, n *sim.Network) {
			s := openShop(t, n, 4, inMemory)
			b := s.sticky()
			all := loggedIn(t, n, 30)
			s.add(inMemory)
			time.Sleep(1)
			require.Zero(t, loggedOut(all))
			require.Zero(t, b.Stats().Moved)
			require.Empty(t, sessions(s)["replica5"])
			for i := 0; sessions(s)["replica5"] == 0; i++ { // new clients go there too
				require.Less(t, i, 30)
				browse(t, n, fmt.Sprint("new", i), "shop").says("/login?user=new")
			}
		}},
	{Name: "SS-04 a replica is added, by hashing without a cookie", Reason: "rendezvous hashing moves one session in five to the new replica, and none elsewhere",
		Story: func(t *testing.T, n *sim.Network) {
			s := openShop(t, n, 4, inMemory)
			s.anywhere(func(r *http.Request, all []string) string { return session.Pick(client(r), all) })
			all := loggedIn(t, n, 60)
			s.add(inMemory)
			time.Sleep(1)
			lost := loggedOut(all)
			require.InDelta(t, 60/5, lost, 8, "3.1 is the standard deviation")
		}},
	{Name: "SS-05 a replica is added, by the hash modulo their number", Reason: "counter-example: without rendezvous hashing four sessions in five are lost",
		Story: func(t *testing.T, n *sim.Network) {
			s := openShop(t, n, 4, inMemory)
			s.anywhere(func(r *http.Request, all []string) string {
				sum := 0
				for _, c := range client(r) {
					sum = sum*31 + int(c)
				}
				return all[sum%len(all)]
			})
			all := loggedIn(t, n, 60)
			s.add(inMemory)
			time.Sleep(1)
			require.Greater(t, loggedOut(all), 60/2)
		}},
	{Name: "SS-06 the replica that a client's cookie names is gone", Reason: "the client gets another replica and stays there, even when the first one is back (cloudfoundry/gorouter#76)",
		Story: func(t *testing.T, n *sim.Network) {
			s := openShop(t, n, 2, inMemory)
			b := s.sticky()
			phone := browse(t, n, "phone", "shop")
			phone.says("/login?user=ann")
			first := sessions(s)
			for name, held := range first {
				if held == 1 {
					s.dies(name)
				}
			}
			require.Equal(t, " has ", phone.says("/"))
			phone.says("/login?user=ann")
			for _, name := range []string{"replica1", "replica2"} {
				n.Host(name).Restart()
			}
			s.mu.Lock()
			s.live = []string{"replica1", "replica2"}
			s.mu.Unlock()
			time.Sleep(time.Second)
			if status, _ := phone.ask("/cart"); status == http.StatusForbidden {
				phone.says("/login?user=ann") // the other one was restarted too
			}
			require.Equal(t, "ann has ", phone.says("/cart"))
			require.EqualValues(t, 1, b.Stats().Moved)
		}},

	// Two requests at once.
	{Name: "SS-07 two requests add to a cart at once, on two replicas", Reason: "both additions are kept: last-write-wins lost one in scs v2.9, and 24 of 25 in AzzMTZ/session-handler#48",
		Story: func(t *testing.T, n *sim.Network) {
			s := openShop(t, n, 2, shared(n))
			s.anywhere(inTurn())
			phone := browse(t, n, "phone", "shop")
			phone.says("/login?user=ann")
			together(func() { phone.says("/add?item=a&work=1s") }, func() { phone.says("/add?item=b&work=1s") })
			require.Contains(t, []string{"ann has ab", "ann has ba"}, phone.says("/"))
		}, Races: "which one comes first"},
	{Name: "SS-07 two requests set one value at once", Reason: "one of them gets an error and can retry",
		Story: func(t *testing.T, n *sim.Network) {
			s := openShop(t, n, 2, shared(n))
			s.anywhere(inTurn())
			phone := browse(t, n, "phone", "shop")
			phone.says("/login?user=ann")
			together(func() { phone.says("/set?key=cart&value=first&work=1s") }, func() {
				status, text := phone.ask("/set?key=cart&value=second&work=2s")
				require.Equal(t, http.StatusConflict, status)
				require.Contains(t, text, "changed by another request")
			})
			require.Equal(t, "ann has first", phone.says("/"))
		}},
	{Name: "SS-07 a store that does not look at versions", Reason: "counter-example: without version checks one of two changes is lost silently",
		Story: func(t *testing.T, n *sim.Network) {
			store := &careless{Memory: &session.Memory{}}
			openShop(t, n, 1, func(*sim.Host) *session.Manager { return &session.Manager{Store: store} })
			phone := browse(t, n, "phone", "replica1:8080")
			phone.says("/login?user=ann")
			together(func() { phone.says("/add?item=a&work=1s") }, func() { phone.says("/add?item=b&work=2s") })
			require.Equal(t, "ann has b", phone.says("/"))
		}},
	{Name: "SS-08 a logout while a request is slow", Reason: "the slow request must not bring the session back, as it does with scs v2.9 and boj/redistore#2",
		Story: func(t *testing.T, n *sim.Network) {
			openShop(t, n, 1, shared(n))
			phone := browse(t, n, "phone", "replica1:8080")
			phone.says("/login?user=ann")
			token := phone.token()
			together(func() {
				status, _ := phone.ask("/add?item=a&work=5s")
				require.Equal(t, http.StatusUnauthorized, status)
			}, func() {
				time.Sleep(time.Second)
				phone.says("/logout")
			})
			require.Empty(t, phone.token())
			phone.use(token)
			status, _ := phone.ask("/cart")
			require.Equal(t, http.StatusForbidden, status)
		}},
	{Name: "SS-17 a token from before the login", Reason: "an attacker who gave this token to the client must not be logged in by it",
		Story: func(t *testing.T, n *sim.Network) {
			openShop(t, n, 1, shared(n))
			mallory, ann := browse(t, n, "mallory", "replica1:8080"), browse(t, n, "ann", "replica1:8080")
			mallory.says("/add?item=bait")
			ann.use(mallory.token())
			ann.says("/login?user=ann")
			require.Equal(t, "ann has bait", ann.says("/cart"))
			status, _ := mallory.ask("/cart")
			require.Equal(t, http.StatusForbidden, status)
			mallory.use("a token of her own")
			mallory.says("/add?item=x")
			require.NotEqual(t, "a token of her own", mallory.token())
		}},

	// Clocks and keys.
	{Name: "SS-09 the verifier's clock is 20 s off", Reason: "with a leeway of 30 s no token is refused; without one, tokens from the future are (golang-jwt/jwt#48)", Story: skewed},
	{Name: "SS-10 the verifier's clock is set back by an hour", Reason: "an expired token becomes valid again by the wall clock, but not by the monotonic clock",
		Story: func(t *testing.T, n *sim.Network) {
			openShop(t, n, 2, func(h *sim.Host) *session.Manager {
				clock := h.Now
				if h.Name() == "replica2" {
					start, up := h.Now(), h.Clock().Uptime()
					clock = func() time.Time { return start.Add(h.Clock().Uptime() - up) }
				}
				return &session.Manager{Now: clock, Store: &session.Signed{Keys: keys, Now: clock}}
			})
			wall, monotonic := browse(t, n, "wall", "replica1:8080"), browse(t, n, "monotonic", "replica2:8080")
			wall.says("/login?user=ann")
			monotonic.says("/login?user=ann")
			time.Sleep(31 * time.Minute)
			for _, replica := range []string{"replica1", "replica2"} {
				n.Host(replica).Clock().Step(-time.Hour)
			}
			status, _ := monotonic.ask("/cart")
			require.Equal(t, http.StatusForbidden, status)
			// Its token was signed in what is the future now: it is refused until then.
			status, _ = wall.ask("/cart")
			require.Equal(t, http.StatusForbidden, status)
			time.Sleep(29*time.Minute + time.Second)
			wall.says("/cart")
			status, _ = monotonic.ask("/cart")
			require.Equal(t, http.StatusForbidden, status)
		}},
	{Name: "SS-11 the key that signs is changed", Reason: "no token is refused while both keys are known, and a verifier that does not know the new key fetches it",
		Story: rotation},
	{Name: "SS-12 a token is used after the logout", Reason: "it stays valid until it expires, unless every replica is notified", Story: exposure},

	// The store.
	{Name: "SS-13 the store is down for 30 s", Reason: "a request that needs it fails within a second and leaves nobody half logged in; a request that does not need it succeeds",
		Story: func(t *testing.T, n *sim.Network) {
			stateful, stateless := shared(n), 0
			openShop(t, n, 2, func(h *sim.Host) *session.Manager {
				if h.Name() == "replica1" {
					return stateful(h)
				}
				return signed(h)
			})
			one, two := browse(t, n, "one", "replica1:8080"), browse(t, n, "two", "replica2:8080")
			one.says("/login?user=ann")
			two.says("/login?user=ann")
			n.Host("store").PowerOff()
			down := n.Elapsed()
			for n.Elapsed() < down+30*time.Second {
				asked := n.Elapsed()
				token := one.token()
				status, _ := one.ask("/login?user=bob")
				require.Equal(t, http.StatusServiceUnavailable, status)
				require.LessOrEqual(t, n.Elapsed()-asked, time.Second+200*time.Millisecond)
				require.Equal(t, token, one.token())
				two.says("/login?user=bob")
				stateless++
			}
			require.Greater(t, stateless, 20)
			n.Host("store").Restart()
			time.Sleep(10 * time.Second)
			require.Equal(t, "ann has ", one.says("/cart"), "nobody else has logged in")
		}},
	{Name: "SS-14 the replica of the store is 2 s behind", Reason: "a user who has just logged in must see that", Story: lagging(true)},
	{Name: "SS-14 the replica of the store is 2 s behind, and is believed", Reason: "counter-example: without the version in the token the client sees an old state", Story: lagging(false)},
	{Name: "SS-15 a store that takes 200 ms, and hundreds of clients at once", Reason: "signed tokens need no store",
		Story: func(t *testing.T, n *sim.Network) {
			store := &counting{Memory: &session.Memory{}}
			serveStore(n, "store", store, 200*time.Millisecond)
			openShop(t, n, 2, func(h *sim.Host) *session.Manager {
				if h.Name() == "replica1" {
					return &session.Manager{Store: storeOf(h, "store")}
				}
				return signed(h)
			})
			require.Equal(t, 200*time.Millisecond, herd(t, n, "replica1:8080", 200)-herd(t, n, "replica2:8080", 200))
			require.EqualValues(t, 200, store.loads.Load(), "all of the first")
		}},

	// The connection as a session, and none at all.
	{Name: "SS-16 a connection that had logged in is lost, and the next one goes to another node", Reason: "whatever was negotiated on the old connection must be negotiated again",
		Story: connectionState},
	{Name: "SS-18 the same requests over any replicas in any order", Reason: "replicas without state of their own give the same answers", Story: permuted},
}

// client names who asks, as a balancer without cookies knows it.
func client(r *http.Request) string {
	c, err := r.Cookie("client")
	if err != nil {
		return ""
	}
	return c.Value
}

// loggedIn returns so many clients of the shop, who have logged in.
func loggedIn(t *testing.T, n *sim.Network, count int) (all []*browser) {
	for i := range count {
		b := browse(t, n, fmt.Sprint("phone", i), "shop")
		b.as(fmt.Sprint("client", i))
		b.says(fmt.Sprint("/login?user=user", i))
		all = append(all, b)
	}
	return all
}

// as has the client say who it is.
func (b *browser) as(name string) {
	t := b.http.Transport
	b.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		r.AddCookie(&http.Cookie{Name: "client", Value: name})
		return t.RoundTrip(r)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// loggedOut counts those who are not logged in any more.
func loggedOut(all []*browser) (lost int) {
	for _, b := range all {
		switch status, text := b.ask("/cart"); status {
		case http.StatusOK:
		case http.StatusForbidden:
			lost++
		default:
			b.t.Errorf("%s: %d %s", b.host.Name(), status, text)
		}
	}
	return lost
}

// sessions counts those in the memory of each replica.
func sessions(s *shop) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]int{}
	for name, m := range s.managers {
		if m != nil {
			all[name] = m.Store.(*session.Memory).Len()
		}
	}
	return all
}

// together does both, the second a nanosecond later.
func together(one, other func()) {
	var both sync.WaitGroup
	both.Go(one)
	time.Sleep(1)
	both.Go(other)
	both.Wait()
}

// herd has a client log in, and so many ask at once with its token. It returns how long the slowest waits.
func herd(t *testing.T, n *sim.Network, to string, count int) (slowest time.Duration) {
	first := browse(t, n, "first-"+to[:8], to)
	first.says("/login?user=ann")
	var all sync.WaitGroup
	var mu sync.Mutex
	for c := range count {
		b := browse(t, n, fmt.Sprint(to[:8], "-phone", c), to)
		b.use(first.token())
		all.Go(func() {
			asked := n.Elapsed()
			b.says("/cart")
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, (n.Elapsed() - asked).Round(time.Millisecond))
		})
	}
	all.Wait()
	return slowest
}

// counting counts what it is asked.
type counting struct {
	*session.Memory
	loads atomic.Int64
}

func (s *counting) Load(ctx context.Context, token string) (session.Record, error) {
	s.loads.Add(1)
	return s.Memory.Load(ctx, token)
}

// careless is a store that does not look at versions.
type careless struct{ *session.Memory }

func (s *careless) Save(ctx context.Context, token string, r session.Record) (string, error) {
	if now, err := s.Load(ctx, token); err == nil {
		r.Version = now.Version
	}
	return s.Memory.Save(ctx, token, r)
}

func skewed(t *testing.T, n *sim.Network) {
	n.Host("early").Clock().Step(-20 * time.Second)
	n.Host("late").Clock().Step(20 * time.Second)
	for _, leeway := range []time.Duration{0, 30 * time.Second} {
		for _, row := range []struct {
			verifier string
			after    time.Duration // the login
			good     bool
		}{
			{"early", time.Second, leeway > 0}, // signed in its future
			{"late", time.Second, true},
			{"early", 19 * time.Minute, true},
			{"late", 20*time.Minute - 25*time.Second, true},
			{"late", 20*time.Minute - 15*time.Second, leeway > 0}, // over by its clock
			{"early", 20*time.Minute + 15*time.Second, true},      // not yet
			{"early", 20*time.Minute + 25*time.Second, leeway > 0},
			{"late", 20*time.Minute + 15*time.Second, false},
		} {
			tokens := func(h *sim.Host) *session.Signed {
				return &session.Signed{Keys: keys, Leeway: leeway, Now: h.Now}
			}
			signer := n.Host("signer")
			token, err := tokens(signer).Save(t.Context(), "", session.Record{
				User: "ann", Created: signer.Now(), Seen: signer.Now(), Expires: signer.Now().Add(20 * time.Minute),
			})
			require.NoError(t, err)
			time.Sleep(row.after)
			_, err = tokens(n.Host(row.verifier)).Load(t.Context(), token)
			require.Equal(t, row.good, err == nil, "%+v with a leeway of %v: %v", row, leeway, err)
			time.Sleep(time.Hour)
		}
	}
}

// rotation changes keys on a host that serves them. Both replicas cache them for five minutes.
func rotation(t *testing.T, n *sim.Network) {
	var mu sync.Mutex
	served := keys
	n.Host("keys").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, k := range served {
			fmt.Fprintln(w, k.ID)
		}
	}))
	openShop(t, n, 2, func(h *sim.Host) *session.Manager {
		return &session.Manager{Store: &session.Signed{Keys: &session.CachedKeys{Fetch: func(ctx context.Context) (all []session.Key, err error) {
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://keys/", nil)
			resp, err := h.HTTPClient().Do(req)
			if err != nil {
				return nil, err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			for _, id := range strings.Fields(string(text)) {
				all = append(all, session.Key{ID: id, Secret: []byte(strings.Repeat(id, 32))})
			}
			return all, err
		}}}}
	})
	one, two := browse(t, n, "one", "replica1:8080"), browse(t, n, "two", "replica2:8080")
	replace := func(ids ...string) {
		mu.Lock()
		defer mu.Unlock()
		served = nil
		for _, id := range ids {
			served = append(served, session.Key{ID: id})
		}
	}
	one.says("/login?user=ann")
	two.says("/login?user=bob")
	time.Sleep(time.Minute)
	replace("2", "1") // the new key signs at once, on who hears of it first
	time.Sleep(4*time.Minute + time.Second)
	one.says("/cart") // it is the first to ask after five minutes, and fetches meanwhile
	time.Sleep(time.Second)
	one.says("/login?user=ann")
	two.use(one.token())
	require.Equal(t, "ann has ", two.says("/cart"), "signed by a key that replica2 had not heard of")

	replace("2")
	time.Sleep(10 * time.Minute)
	old, err := (&session.Signed{Keys: keys}).Save(t.Context(), "", session.Record{
		User: "mallory", Created: time.Now(), Seen: time.Now(), Expires: time.Now().Add(time.Minute),
	})
	require.NoError(t, err)
	one.says("/cart")
	time.Sleep(time.Second)
	one.use(old)
	status, _ := one.ask("/cart")
	require.Equal(t, http.StatusForbidden, status, "the old key is good for nothing any more")
}

// exposure measures for how long a token is good after a logout.
func exposure(t *testing.T, n *sim.Network) {
	var ended [2]session.Revocations // of the second shop's replicas
	for shopNumber := range 2 {
		prefix := fmt.Sprintf("shop%d-replica", shopNumber)
		openShopOf(t, n, prefix, 2, func(h *sim.Host) *session.Manager {
			store := &session.Signed{Keys: keys}
			if shopNumber == 1 {
				mine, other := &ended[0], &ended[1]
				if h.Name() == prefix+"2" {
					mine, other = other, mine
				}
				store.Revoked = mine.Revoked
				store.Revoke = func(ctx context.Context, id string, until time.Time) error {
					time.AfterFunc(3*time.Second, func() { other.Revoke(ctx, id, until) }) // on its way
					return mine.Revoke(ctx, id, until)
				}
			}
			return &session.Manager{Store: store}
		})
		good, pause := [2]time.Duration{}, 20*time.Second
		if shopNumber == 1 {
			pause = 100 * time.Millisecond
		}
		for i := range good {
			ann := browse(t, n, fmt.Sprintf("ann%d-%d", shopNumber, i), prefix+"1:8080")
			thief := browse(t, n, fmt.Sprintf("thief%d-%d", shopNumber, i), fmt.Sprintf("%s%d:8080", prefix, i+1))
			ann.says("/login?user=ann")
			token := ann.token()
			ann.says("/logout")
			out := n.Elapsed()
			for {
				thief.use(token) // not the one that it would be given
				asked := n.Elapsed()
				if status, _ := thief.ask("/cart"); status != http.StatusOK {
					break
				}
				good[i] = asked - out
				time.Sleep(pause)
			}
		}
		if shopNumber == 0 {
			require.InDelta(t, 30*time.Minute, good[0], float64(21*time.Second), "the idle timeout")
			require.InDelta(t, 30*time.Minute, good[1], float64(21*time.Second))
		} else {
			require.Zero(t, good[0])
			require.InDelta(t, 3*time.Second, good[1], float64(300*time.Millisecond), "until the other replica has heard of it")
		}
	}
}

// lagging has a replica of the store that follows two seconds later.
func lagging(sure bool) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		primary := &session.Memory{}
		behind := &follower{Memory: primary, after: 2 * time.Second}
		serveStore(n, "primary", primary, 0)
		openShop(t, n, 1, func(h *sim.Host) *session.Manager {
			if !sure {
				return &session.Manager{Store: behind}
			}
			return &session.Manager{Store: &session.Replicated{Primary: storeOf(h, "primary"), Replica: behind}}
		})
		phone := browse(t, n, "phone", "replica1:8080")
		phone.says("/login?user=ann")
		if !sure {
			status, _ := phone.ask("/cart")
			require.Equal(t, http.StatusForbidden, status, "logged in, and out again")
			time.Sleep(2 * time.Second)
			phone.says("/cart")
			return
		}
		require.Equal(t, "ann has ", phone.says("/cart"))
		phone.says("/add?item=a")
		require.Equal(t, "ann has a", phone.says("/cart"))
		n.Host("primary").PowerOff()
		status, _ := phone.ask("/cart")
		require.Equal(t, http.StatusServiceUnavailable, status, "better than an empty cart")
		time.Sleep(2 * time.Second)
		require.Equal(t, "ann has a", phone.says("/cart"), "now the replica is so far, and enough")
	}
}

// follower is a store that shows what another one had some time ago.
type follower struct {
	*session.Memory
	after time.Duration
}

func (s *follower) Load(ctx context.Context, token string) (session.Record, error) {
	now, err := s.Memory.Load(ctx, token)
	if err != nil {
		return now, err
	}
	if time.Since(now.Seen) >= s.after {
		return now, nil
	}
	return session.Record{}, session.ErrNone
}

// connectionState is a protocol whose connections log in, as those of databases do.
func connectionState(t *testing.T, n *sim.Network) {
	for _, name := range []string{"node1", "node2"} {
		l, err := n.Host(name).Listen("tcp", ":5432")
		require.NoError(t, err)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					user := ""
					for lines := bufio.NewScanner(c); lines.Scan(); {
						switch verb, rest, _ := strings.Cut(lines.Text(), " "); {
						case verb == "auth":
							user = rest
							fmt.Fprintln(c, "ok")
						case user == "":
							fmt.Fprintln(c, "error: not authenticated")
						default:
							fmt.Fprintln(c, name, "for", user)
						}
					}
				}()
			}
		}()
	}
	phone, to := n.Host("phone"), "node1"
	var conn net.Conn
	ask := func(line string) (string, error) {
		fmt.Fprintln(conn, line)
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer, err := bufio.NewReader(conn).ReadString('\n')
		return strings.TrimSpace(answer), err
	}
	connect := func(auth bool) {
		var err error
		conn, err = phone.Dial("tcp", to+":5432")
		require.NoError(t, err)
		if auth {
			answer, err := ask("auth ann")
			require.NoError(t, err)
			require.Equal(t, "ok", answer)
		}
	}
	connect(true)
	answer, _ := ask("query")
	require.Equal(t, "node1 for ann", answer)
	n.Host("node1").Crash()
	_, err := ask("query")
	require.Error(t, err)
	require.False(t, errors.Is(err, context.DeadlineExceeded))
	conn.Close()
	to = "node2"
	connect(false)
	answer, _ = ask("query")
	require.Equal(t, "error: not authenticated", answer, "who assumes is refused, and served by nobody else's right")
	conn.Close()
	connect(true)
	answer, _ = ask("query")
	require.Equal(t, "node2 for ann", answer)
	conn.Close()
}

// permuted asks the same of one replica, and of three in an order drawn at random.
func permuted(t *testing.T, n *sim.Network) {
	script := []string{"/cart", "/login?user=ann", "/add?item=a", "/cart", "/add?item=b", "/set?key=x&value=y", "/cart", "/logout", "/cart", "/login?user=bob", "/cart"}
	var transcripts []string
	for way, manager := range []func(*sim.Host) *session.Manager{shared(n), signed} {
		for _, replicas := range []int{1, 3} {
			name := fmt.Sprintf("%d-%d", way, replicas)
			s := openShopOf(t, n, "replica"+name+"-", replicas, manager)
			random := n.Rand("order" + name)
			front := n.Host("front" + name)
			front.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				all := s.alive()
				front.Proxy("http://"+all[random.IntN(len(all))]+":8080", sim.ProxyConfig{}).ServeHTTP(w, r)
			}))
			phone := browse(t, n, "phone"+name, front.Name())
			var said []string
			for _, path := range script {
				status, text := phone.ask(path)
				said = append(said, fmt.Sprint(status, " ", text))
			}
			transcripts = append(transcripts, strings.Join(said, "\n"))
		}
	}
	for _, other := range transcripts[1:] {
		require.Equal(t, transcripts[0], other)
	}
	require.Contains(t, transcripts[0], "ann has ab")
}
