package exact_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/internal/workload"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

var workloads = []workload.Workload{
	{Name: "20 HTTP clients at one instant", Run: twentyClients},
	{Name: "a pool of HTTP/2", Run: pooledHTTP2},
	{Name: "WebSocket, broadcast to 100", Run: broadcast},
	{Name: "20 TLS handshakes", Run: handshakes},
	{Name: "workers over unbuffered channels", Run: workers},
	{Name: "select with four ready cases", Run: fourReady},
	{Name: "maps", Run: mapOrders},
	{Name: "a contended lock", Run: contendedLock},
}

func TestWorkloadsRepeat(t *testing.T) { workload.Repeat(t, workloads) }

func link(n *sim.Network) {
	n.Link(n.Host("client"), n.Host("server"), netem.Config{Delay: 10 * time.Millisecond})
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

func twentyClients(n *sim.Network, came *workload.Arrivals) error {
	link(n)
	n.Host("server").ServeHTTP(":80", answer())
	client := n.Host("client").HTTPClient()
	defer client.CloseIdleConnections()
	return workload.AtOnce(20, func(i int) error {
		for range 3 {
			body, err := fetch(client, "http://server/")
			if err != nil {
				return err
			}
			came.Note("%d %s", i, body)
			time.Sleep(time.Second - time.Duration(n.Elapsed()%time.Second)) // all at one instant again
		}
		return nil
	})
}

func pooledHTTP2(n *sim.Network, came *workload.Arrivals) error {
	link(n)
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
	return workload.AtOnce(30, func(i int) error {
		body, err := fetch(&http.Client{Transport: tr}, "https://server/")
		came.Note("%d %s", i, body)
		return err
	})
}

func broadcast(n *sim.Network, came *workload.Arrivals) error {
	const clients, messages = 100, 3
	link(n)
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
	return workload.AtOnce(clients, func(i int) error {
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
			came.Note("%d %s", i, text)
		}
		return nil
	})
}

func handshakes(n *sim.Network, came *workload.Arrivals) error {
	link(n)
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
				came.Note("from %v: %v", c.RemoteAddr(), s.Handshake())
				io.Copy(s, s)
			}()
		}
	}()
	return workload.AtOnce(20, func(i int) error {
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
		came.Note("%d", i)
		return err
	})
}

func workers(_ *sim.Network, came *workload.Arrivals) error {
	jobs, results := make(chan int), make(chan string)
	go func() {
		defer close(jobs)
		for i := range 100 {
			jobs <- i
		}
	}()
	go func() {
		defer close(results)
		workload.AtOnce(8, func(worker int) error {
			for i := range jobs {
				results <- fmt.Sprint(worker, " ", i)
			}
			return nil
		})
	}()
	for r := range results {
		came.Note("%s", r)
	}
	return nil
}

func fourReady(_ *sim.Network, came *workload.Arrivals) error {
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
			came.Note("0 %d", k)
		case k := <-ready[1]:
			came.Note("1 %d", k)
		case k := <-ready[2]:
			came.Note("2 %d", k)
		case k := <-ready[3]:
			came.Note("3 %d", k)
		}
	}
	return nil
}

func mapOrders(_ *sim.Network, came *workload.Arrivals) error {
	words, pointers, keys := map[string]int{}, map[*int]int{}, new(sync.Map)
	for i := range 1000 {
		words[fmt.Sprint(i)], pointers[new(int)] = i, i
		keys.Store(new(int), i)
	}
	for _, i := range words {
		came.Note("word %d", i)
	}
	for _, i := range pointers {
		came.Note("pointer %d", i)
	}
	keys.Range(func(_, i any) bool { came.Note("key %d", i); return true })
	return nil
}

func contendedLock(_ *sim.Network, came *workload.Arrivals) error {
	var mu sync.RWMutex
	return workload.AtOnce(20, func(i int) error {
		for k := range 20 {
			if i%4 == 0 {
				mu.Lock()
				came.Note("%d writes %d", i, k)
				mu.Unlock()
			} else {
				mu.RLock()
				came.Note("%d reads %d", i, k)
				mu.RUnlock()
			}
		}
		return nil
	})
}
