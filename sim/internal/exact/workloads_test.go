package exact_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// A workload is a program whose goroutines meet at one instant, again and again. It says in which order they came.
type workload struct {
	name string
	run  func(n *sim.Network, came *arrivals) error
}

var workloads = []workload{
	{"20 HTTP clients at one instant", twentyClients},
	{"a pool of HTTP/2", pooledHTTP2},
	{"WebSocket, broadcast to 100", broadcast},
	{"20 TLS handshakes", handshakes},
	{"workers over unbuffered channels", workers},
	{"select with four ready cases", fourReady},
	{"maps", mapOrders},
	{"a contended lock", contendedLock},
}

// arrivals is what came, in its order.
type arrivals struct {
	mu   sync.Mutex
	text strings.Builder
}

func (a *arrivals) note(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(&a.text, format+"\n", args...)
}

// One seed does one thing, whatever else the machine does: the same packets, and the same decisions of the scheduler. SQUALL_WORKLOADS=5000
// has so many runs of each in the place of three; what is logged is the same in every process and every build, with -race too: cmd/squall compares two.
func TestWorkloadsRepeat(t *testing.T) {
	sim.NeedExact(t)
	runs := 3
	if text := os.Getenv("SQUALL_WORKLOADS"); text != "" {
		var err error
		runs, err = strconv.Atoi(text)
		require.NoError(t, err, "SQUALL_WORKLOADS is the number of runs")
	}
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			var first string
			for i := range runs {
				var came arrivals
				var schedule exact.Schedule
				var trace string
				require.NoError(t, sim.Try(t, func(n *sim.Network) error {
					n.Link(n.Host("client"), n.Host("server"), netem.Config{Delay: 10 * time.Millisecond})
					err := w.run(n, &came)
					schedule, trace = exact.Now(), fmt.Sprintf("%016x", n.Trace().Hash())
					return err
				}))
				got := fmt.Sprintf("trace %s, schedule %016x of %d turns, %d forced, came:\n%s", trace, schedule.Hash, schedule.Turns, schedule.Forced, came.text.String())
				if i == 0 {
					first = got
				}
				require.Equal(t, first, got, "run %d", i+1)
			}
			t.Logf("%d runs: %s, %s", runs, w.name, strings.ReplaceAll(first[:strings.Index(first, " turns")], "\n", " "))
		})
	}
}

// atOnce calls f on so many goroutines and returns their first error.
func atOnce(goroutines int, f func(i int) error) error {
	var all sync.WaitGroup
	errs := make([]error, goroutines)
	for i := range goroutines {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func fetch(c *http.Client, url string) (string, error) {
	resp, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// answer counts the requests.
func answer() http.Handler {
	var mu sync.Mutex
	count := 0
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		count++
		fmt.Fprint(w, count)
	})
}

func twentyClients(n *sim.Network, came *arrivals) error {
	n.Host("server").ServeHTTP(":80", answer())
	client := n.Host("client").HTTPClient()
	defer client.CloseIdleConnections()
	return atOnce(20, func(i int) error {
		for range 3 {
			body, err := fetch(client, "http://server/")
			if err != nil {
				return err
			}
			came.note("%d %s", i, body)
			time.Sleep(time.Second - time.Duration(n.Elapsed()%time.Second)) // all at one instant again
		}
		return nil
	})
}

func pooledHTTP2(n *sim.Network, came *arrivals) error {
	server, client := n.Host("server"), n.Host("client")
	l, err := server.Listen("tcp", ":443")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: answer(), TLSConfig: &tls.Config{Certificates: []tls.Certificate{server.Certificate()}}}
	go s.ServeTLS(l, "", "")
	defer s.Close()
	tr := &http.Transport{DialContext: client.DialContext, TLSClientConfig: &tls.Config{RootCAs: n.Roots()}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	return atOnce(30, func(i int) error {
		body, err := fetch(&http.Client{Transport: tr}, "https://server/")
		came.note("%d %s", i, body)
		return err
	})
}

func broadcast(n *sim.Network, came *arrivals) error {
	const clients, messages = 100, 3
	var mu sync.Mutex
	conns := map[*websocket.Conn]bool{}
	joined := make(chan struct{}, clients)
	n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		mu.Lock()
		conns[c] = true
		mu.Unlock()
		joined <- struct{}{}
		<-c.CloseRead(r.Context()).Done()
	}))
	client := n.Host("client").HTTPClient()
	go func() {
		for range clients {
			<-joined
		}
		mu.Lock()
		defer mu.Unlock()
		for i := range messages {
			for c := range conns {
				c.Write(context.Background(), websocket.MessageText, fmt.Append(nil, i))
			}
		}
	}()
	return atOnce(clients, func(i int) error {
		c, _, err := websocket.Dial(context.Background(), "ws://server/", &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			return err
		}
		defer c.CloseNow()
		for range messages {
			_, text, err := c.Read(context.Background())
			if err != nil {
				return err
			}
			came.note("%d %s", i, text)
		}
		return nil
	})
}

func handshakes(n *sim.Network, came *arrivals) error {
	server, client := n.Host("server"), n.Host("client")
	l, err := server.Listen("tcp", ":443")
	if err != nil {
		return err
	}
	defer l.Close()
	conf := &tls.Config{Certificates: []tls.Certificate{server.Certificate()}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				s := tls.Server(c, conf)
				defer s.Close()
				came.note("from %v: %v", c.RemoteAddr(), s.Handshake())
				io.Copy(s, s)
			}()
		}
	}()
	return atOnce(20, func(i int) error {
		raw, err := client.Dial("tcp", "server:443")
		if err != nil {
			return err
		}
		c := tls.Client(raw, &tls.Config{RootCAs: n.Roots(), ServerName: "server"})
		defer c.Close()
		if _, err := c.Write([]byte{byte(i)}); err != nil {
			return err
		}
		_, err = io.ReadFull(c, make([]byte, 1))
		came.note("%d", i)
		return err
	})
}

func workers(_ *sim.Network, came *arrivals) error {
	jobs, results := make(chan int), make(chan string)
	go func() {
		defer close(jobs)
		for i := range 100 {
			jobs <- i
		}
	}()
	go func() {
		defer close(results)
		atOnce(8, func(worker int) error {
			for i := range jobs {
				results <- fmt.Sprint(worker, " ", i)
			}
			return nil
		})
	}()
	for r := range results {
		came.note("%s", r)
	}
	return nil
}

func fourReady(_ *sim.Network, came *arrivals) error {
	var ready [4]chan int
	for i := range ready {
		ready[i] = make(chan int, 50)
		for k := range 50 {
			ready[i] <- k
		}
	}
	for range 200 {
		select {
		case k := <-ready[0]:
			came.note("0 %d", k)
		case k := <-ready[1]:
			came.note("1 %d", k)
		case k := <-ready[2]:
			came.note("2 %d", k)
		case k := <-ready[3]:
			came.note("3 %d", k)
		}
	}
	return nil
}

func mapOrders(_ *sim.Network, came *arrivals) error {
	words, pointers, keys := map[string]int{}, map[*int]int{}, new(sync.Map)
	for i := range 1000 {
		words[fmt.Sprint(i)], pointers[new(int)] = i, i
		keys.Store(new(int), i)
	}
	for _, i := range words {
		came.note("word %d", i)
	}
	for _, i := range pointers {
		came.note("pointer %d", i)
	}
	keys.Range(func(_, i any) bool { came.note("key %d", i); return true })
	return nil
}

func contendedLock(_ *sim.Network, came *arrivals) error {
	var mu sync.RWMutex
	return atOnce(20, func(i int) error {
		for k := range 20 {
			if i%4 == 0 {
				mu.Lock()
				came.note("%d writes %d", i, k)
				mu.Unlock()
			} else {
				mu.RLock()
				came.note("%d reads %d", i, k)
				mu.RUnlock()
			}
		}
		return nil
	})
}
