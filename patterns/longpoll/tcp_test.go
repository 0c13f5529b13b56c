package longpoll_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/retry"
)

// Over real connections: TCP on the loopback, in real time.

var errEnough = errors.New("enough")

// until returns a handler that collects data until it has n events.
func until(n int, got *[]string) func(context.Context, longpoll.Batch) error {
	return func(_ context.Context, b longpoll.Batch) error {
		if b.Reset != "" {
			return fmt.Errorf("reset: %s", b.Reset)
		}
		for _, e := range b.Events {
			*got = append(*got, string(e.Data))
		}
		if len(*got) >= n {
			return errEnough
		}
		return nil
	}
}

func TestOverTCP(t *testing.T) {
	for _, v := range httpVersions {
		t.Run(v.name, func(t *testing.T) {
			feed := &longpoll.Server{MaxEvents: 10}
			server := httptest.NewUnstartedServer(feed.Handler())
			v.start(server)
			defer server.Close()
			const clients, events = 8, 100

			var wg sync.WaitGroup
			got := make([][]string, clients)
			for i := range clients {
				wg.Go(func() {
					client := &longpoll.Client{URL: server.URL, HTTP: server.Client(), Interval: time.Millisecond}
					if err := client.Run(t.Context(), until(events, &got[i])); err != errEnough {
						t.Error(err)
					}
				})
			}
			for i := range events {
				publish(t, feed, fmt.Sprint(i))
				time.Sleep(100 * time.Microsecond)
			}
			wg.Wait()
			for i := range clients {
				require.Equal(t, sequence(events), got[i])
			}
		})
	}
}

// The server dies with its connections and comes back with its log: nothing is
// lost, nothing comes twice, no reset.
func TestOverTCPAcrossARestartWithALogOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	run := func(l net.Listener) (feed *longpoll.Server, kill func()) {
		log, err := eventlog.OpenDisk(path, eventlog.Options{})
		require.NoError(t, err)
		feed = &longpoll.Server{Log: log}
		server := &http.Server{Handler: feed.Handler()}
		done := make(chan struct{})
		go func() { defer close(done); server.Serve(l) }()
		return feed, func() { server.Close(); <-done; require.NoError(t, log.Close()) }
	}

	feed, kill := run(listener)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	client := &longpoll.Client{
		URL: "http://" + addr, HTTP: &http.Client{Transport: tr},
		Backoff: retry.Backoff{Min: time.Millisecond, Base: 20 * time.Millisecond, Max: 20 * time.Millisecond},
	}
	var got []string
	done := make(chan error)
	go func() { done <- client.Run(t.Context(), until(9, &got)) }()
	for round := range 3 {
		for i := range 3 {
			publish(t, feed, fmt.Sprint(3*round+i))
		}
		if round == 2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
		kill()
		listener, err = net.Listen("tcp", addr)
		require.NoError(t, err)
		feed, kill = run(listener)
	}
	require.Equal(t, errEnough, <-done)
	require.Equal(t, sequence(9), got)
	kill()
}

var httpVersions = []struct {
	name  string
	start func(*httptest.Server)
}{
	{"HTTP/1.1", (*httptest.Server).Start},
	{"HTTP/2", func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }},
}

// The server's timeouts are shorter than the wait. WriteTimeout runs from the
// request on, and would break off the answer.
func TestTheServersTimeoutsDoNotEndPolls(t *testing.T) {
	for _, v := range httpVersions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			feed := &longpoll.Server{Log: memory(), Jitter: retry.NoJitter}
			server := httptest.NewUnstartedServer(feed.Handler())
			server.Config.ReadTimeout, server.Config.WriteTimeout = 150*time.Millisecond, 150*time.Millisecond // a handshake on a busy machine takes its time
			v.start(server)
			defer server.Close()
			poll := func(cursor eventlog.Cursor) int {
				resp, err := server.Client().Get(server.URL + "?cursor=" + cursor.String())
				require.NoError(t, err)
				defer resp.Body.Close()
				_, err = io.ReadAll(resp.Body)
				require.NoError(t, err)
				return resp.StatusCode
			}

			time.AfterFunc(450*time.Millisecond, func() { feed.Publish(t.Context(), "t", []byte("0")) })
			require.Equal(t, http.StatusOK, poll(at(0)))
			time.AfterFunc(450*time.Millisecond, func() { feed.Close() })
			require.Equal(t, http.StatusServiceUnavailable, poll(at(1)))
		})
	}
}

// The deadline of an answer must not break off the next request of the
// connection, which may be anything.
func TestTheDeadlineOfAnAnswerEndsWithIt(t *testing.T) {
	feed := &longpoll.Server{AnswerTimeout: 20 * time.Millisecond}
	mux := http.NewServeMux()
	mux.Handle("/events", feed.Handler())
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(60 * time.Millisecond)
		w.Write([]byte("done"))
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	get := func(path string) (reused bool) {
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		})
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
		require.NoError(t, err)
		resp, err := server.Client().Do(req)
		require.NoError(t, err, path)
		defer resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		buf := make([]byte, 1000)
		for err == nil {
			_, err = resp.Body.Read(buf)
		}
		return reused
	}
	get("/events")
	require.True(t, get("/slow"), "this test needs the same connection")
}

// A client that does not read its answer is given up after AnswerTimeout.
func TestAClientThatDoesNotReadIsGivenUp(t *testing.T) {
	feed := &longpoll.Server{AnswerTimeout: 50 * time.Millisecond}
	_, err := feed.Publish(t.Context(), "t", make([]byte, 512<<10)) // more than the buffers below hold
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(feed.Handler())
	server.Listener = narrow{server.Listener}
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err = fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: server\r\n\r\n")
	require.NoError(t, err)

	require.Eventually(t, func() bool { return feed.Stats().Gone == 1 }, time.Minute, 10*time.Millisecond)
	require.Zero(t, feed.Stats().Answers)
}

// narrow accepts connections with small buffers.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}
