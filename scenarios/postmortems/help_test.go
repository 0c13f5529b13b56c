package postmortems_test

import (
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

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// across has a client and a server with a router between them, 20 ms from each.
func across(n *sim.Network) (client, server *sim.Host, box *sim.Router) {
	client, server, box = n.Host("client"), n.Host("server"), n.Router("box")
	n.Link(client, box, netem.Config{Delay: 20 * time.Millisecond})
	n.Link(box, server, netem.Config{Delay: 20 * time.Millisecond})
	return client, server, box
}

// silent has hosts send no keep-alive probes.
func silent(hosts ...*sim.Host) {
	for _, h := range hosts {
		h.SetTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Off: true}})
	}
}

// connection is one from client to server.
func connection(t *testing.T, client, server *sim.Host) (c, peer net.Conn) {
	t.Helper()
	l, err := server.Listen("tcp", ":7")
	require.NoError(t, err)
	defer l.Close()
	c, err = client.Dial("tcp", server.Name()+":7")
	require.NoError(t, err)
	peer, err = l.Accept()
	require.NoError(t, err)
	return c, peer
}

func serve(t *testing.T, h *sim.Host, srv *http.Server) {
	t.Helper()
	l, err := h.Listen("tcp", ":80")
	require.NoError(t, err)
	h.Run("http", func(context.Context, *sim.Host) error {
		if err := srv.Serve(l); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
}

// caching looks names up, and keeps for a while that one does not exist.
func caching(r *net.Resolver, negative time.Duration) func(ctx context.Context, name string) error {
	var missing error
	var until time.Time
	return func(ctx context.Context, name string) error {
		if time.Now().Before(until) {
			return missing
		}
		_, err := r.LookupHost(ctx, name)
		if dns := new(net.DNSError); errors.As(err, &dns) && dns.IsNotFound {
			missing, until = err, time.Now().Add(negative)
		}
		return err
	}
}

// reload has a server take no more connections, and after a while end those that it has.
func reload(srv *http.Server, after time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), after)
	defer cancel()
	srv.Shutdown(ctx)
	srv.Close()
}

// slow is a server that does one request after the other, also for clients that have gone.
type slow struct {
	takes time.Duration
	mu    sync.Mutex
	free  time.Time // when it has done all
}

// stall keeps the server from working.
func (s *slow) stall(d time.Duration) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.free.Before(now) {
		s.free = now
	}
	s.free = s.free.Add(d)
	return s.free
}

func (s *slow) ServeHTTP(http.ResponseWriter, *http.Request) {
	time.Sleep(time.Until(s.stall(s.takes)))
}

// asks sends a request, and again at once if no answer comes within a second.
func asks(n *sim.Network, client, server string, retries int) bool {
	c := n.Host(client).HTTPClient()
	c.Timeout = time.Second
	c.Transport.(*http.Transport).DisableKeepAlives = true
	for range 1 + retries {
		resp, err := c.Get("http://" + server)
		if scenario.ReadAll(resp, err); err == nil {
			return true
		}
	}
	return false
}

// accepts has a host accept connections, and say nothing.
func accepts(t *testing.T, h *sim.Host) {
	t.Helper()
	l, err := h.Listen("tcp", ":7")
	require.NoError(t, err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, c)
		}
	}()
}

// stays has a client connected, and come back 5 s after it was cut off, or after up to 10 s with jitter.
func stays(n *sim.Network, client *sim.Host, server string, jitter bool) {
	for {
		c, err := client.Dial("tcp", server+":7")
		if err != nil {
			return
		}
		io.Copy(io.Discard, c)
		c.Close()
		wait := 5 * time.Second
		if jitter {
			wait = time.Duration(n.Rand(client.Name()).Int64N(int64(10 * time.Second)))
		}
		time.Sleep(wait)
	}
}

// write sends some bytes, and ends a connection that does not take them in time.
func write(c net.Conn, size int, deadline time.Duration) {
	if deadline > 0 {
		c.SetWriteDeadline(time.Now().Add(deadline))
	}
	if _, err := c.Write(make([]byte, size)); err != nil {
		c.Close()
	}
}

// count counts the bytes that come.
func count(c net.Conn) *atomic.Int64 {
	var got atomic.Int64
	go func() {
		for p := make([]byte, 1000); ; {
			k, err := c.Read(p)
			if got.Add(int64(k)); err != nil {
				return
			}
		}
	}()
	return &got
}

// leases is a store that gives one client at a time the right to write.
type leases struct {
	lasts  time.Duration
	fenced bool // it compares the numbers of leases

	mu     sync.Mutex
	until  time.Time
	number int
	value  string
}

func (s *leases) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch body, _ := io.ReadAll(r.Body); {
	case r.Method == "POST" && time.Now().Before(s.until):
		w.WriteHeader(http.StatusConflict)
	case r.Method == "POST":
		s.number++
		s.until = time.Now().Add(s.lasts)
		fmt.Fprint(w, s.number)
	case s.fenced && r.Header.Get("Lease") != fmt.Sprint(s.number):
		w.WriteHeader(http.StatusPreconditionFailed)
	default:
		s.value = string(body)
	}
}

// lease returns the number of a lease, or nothing.
func lease(h, store *sim.Host) string {
	resp, err := h.HTTPClient().Post("http://"+store.Name(), "text/plain", nil)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	number, _ := io.ReadAll(resp.Body)
	return string(number)
}

// put writes a value by a lease.
func put(h, store *sim.Host, lease, value string) {
	r, _ := http.NewRequest("PUT", "http://"+store.Name(), strings.NewReader(value))
	r.Header.Set("Lease", lease)
	scenario.ReadAll(h.HTTPClient().Do(r))
}

// session is one by UDP, with a server that answers to where it heard from first, or last.
func session(t *testing.T, client, server *sim.Host, follows bool) net.Conn {
	t.Helper()
	pc, err := server.ListenPacket("udp", ":0")
	require.NoError(t, err)
	go func() {
		var peer net.Addr
		for p := make([]byte, 10); ; {
			_, from, err := pc.ReadFrom(p)
			if err != nil {
				return
			}
			if peer == nil || follows {
				peer = from
			}
			pc.WriteTo([]byte("pong"), peer)
		}
	}()
	c, err := client.Dial("udp", fmt.Sprintf("%s:%d", server.Name(), pc.LocalAddr().(*net.UDPAddr).Port))
	require.NoError(t, err)
	return c
}

// hears says whether an answer comes.
func hears(c net.Conn) bool {
	c.Write([]byte("ping"))
	c.SetReadDeadline(time.Now().Add(time.Second))
	_, err := c.Read(make([]byte, 10))
	return err == nil
}

// everySecond sends an event of 100 bytes each second.
func everySecond(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		time.Sleep(time.Second)
		fmt.Fprintf(w, "data: %-92s\n\n", "tick")
		w.(http.Flusher).Flush()
	}
}

// buffered hands on what it reads in pieces of some bytes; 0: as it comes.
func buffered(body io.ReadCloser, size int) io.ReadCloser {
	if size == 0 {
		return body
	}
	r, w := io.Pipe()
	go func() {
		for p := make([]byte, size); ; {
			k, err := io.ReadFull(body, p)
			if _, gone := w.Write(p[:k]); err != nil || gone != nil {
				body.Close()
				w.CloseWithError(err)
				return
			}
		}
	}()
	return r
}
