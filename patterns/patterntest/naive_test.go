package patterntest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// Four systems as they are written every day, without a log, a position or a timeout. They
// pass the quiet day.

// channelPolling is long polling on a channel: whoever asks first gets the event.
func channelPolling(*sim.Network) patterntest.System {
	var life running[chan string]
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, _ string) error {
			events := make(chan string, 10_000)
			life.set(&events)
			defer life.set(nil)
			return patterntest.ServeHTTP(ctx, h, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case data := <-events:
					io.WriteString(w, data)
				case <-time.After(30 * time.Second):
					w.WriteHeader(http.StatusNoContent)
				case <-r.Context().Done():
				}
			}))
		},
		Publish: func(data string) error {
			events := life.get()
			if events == nil {
				return errDown
			}
			*events <- data
			return nil
		},
		Receive: func(ctx context.Context, h *sim.Host, _ string, r patterntest.Receiver) error {
			client := h.HTTPClient()
			for ctx.Err() == nil {
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/", nil)
				resp, err := client.Do(req)
				if err != nil {
					sleep(ctx, time.Second)
					continue
				}
				data, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err == nil && resp.StatusCode == http.StatusOK {
					r.Event(string(data))
				}
			}
			return nil
		},
	}
}

// subscribers are who a broadcast goes to, in the order in which they came.
type subscribers[S comparable] struct {
	mu  sync.Mutex
	all []S
}

func (s *subscribers[S]) add(one S) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.all, one) {
		s.all = append(s.all, one)
	}
}

func (s *subscribers[S]) remove(one S) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(x S) bool { return x == one })
}

func (s *subscribers[S]) now() []S {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// hub is the hub of WebSocket tutorials: a channel and a writer for each client, and
// who does not keep up is thrown out.
func hub(*sim.Network) patterntest.System {
	type member struct{ send chan string }
	var life running[subscribers[*member]]
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, _ string) error {
			members := &subscribers[*member]{}
			life.set(members)
			defer life.set(nil)
			return patterntest.ServeHTTP(ctx, h, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, err := websocket.Accept(w, r, nil)
				if err != nil {
					return
				}
				defer conn.CloseNow()
				me := &member{make(chan string, 256)}
				members.add(me)
				defer members.remove(me)
				gone := make(chan struct{})
				go func() {
					conn.Read(context.Background()) // clients send nothing: this ends with the connection
					close(gone)
				}()
				for {
					select {
					case data := <-me.send:
						if conn.Write(context.Background(), websocket.MessageText, []byte(data)) != nil {
							return
						}
					case <-gone:
						return
					}
				}
			}))
		},
		Publish: func(data string) error {
			members := life.get()
			if members == nil {
				return errDown
			}
			for _, m := range members.now() {
				select {
				case m.send <- data:
				default:
					members.remove(m)
				}
			}
			return nil
		},
		Receive: func(ctx context.Context, h *sim.Host, _ string, r patterntest.Receiver) error {
			for ctx.Err() == nil {
				conn, _, err := websocket.Dial(ctx, "ws://server/", &websocket.DialOptions{HTTPClient: h.HTTPClient()})
				if err != nil {
					sleep(ctx, time.Second)
					continue
				}
				stop := context.AfterFunc(ctx, func() { conn.CloseNow() })
				for err == nil {
					var data []byte
					if _, data, err = conn.Read(context.Background()); err == nil {
						r.Event(string(data))
					}
				}
				stop()
				conn.CloseNow()
			}
			return nil
		},
	}
}

// lines writes each event as a line to one TCP connection after the other.
func lines(*sim.Network) patterntest.System {
	var life running[subscribers[net.Conn]]
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, _ string) error {
			members := &subscribers[net.Conn]{}
			life.set(members)
			defer life.set(nil)
			l, err := h.Listen("tcp", ":80")
			if err != nil {
				return err
			}
			stop := context.AfterFunc(ctx, func() { l.Close() })
			defer stop()
			for {
				conn, err := l.Accept()
				if err != nil {
					return nil
				}
				members.add(conn)
			}
		},
		Publish: func(data string) error {
			members := life.get()
			if members == nil {
				return errDown
			}
			for _, conn := range members.now() {
				if _, err := fmt.Fprintln(conn, data); err != nil {
					members.remove(conn)
				}
			}
			return nil
		},
		Receive: func(ctx context.Context, h *sim.Host, _ string, r patterntest.Receiver) error {
			for ctx.Err() == nil {
				conn, err := h.DialContext(ctx, "tcp", "server:80")
				if err != nil {
					sleep(ctx, time.Second)
					continue
				}
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				for s := bufio.NewScanner(conn); s.Scan(); {
					r.Event(s.Text())
				}
				stop()
				conn.Close()
			}
			return nil
		},
	}
}

// datagrams sends each event in a datagram to all who have subscribed.
func datagrams(*sim.Network) patterntest.System {
	type server struct {
		subscribers[netip.AddrPort]
		socket net.PacketConn
	}
	var life running[server]
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, _ string) error {
			conn, err := h.ListenPacket("udp", ":80")
			if err != nil {
				return err
			}
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			s := &server{socket: conn}
			life.set(s)
			defer life.set(nil)
			for b := make([]byte, 100); ; {
				_, from, err := conn.ReadFrom(b)
				if err != nil {
					return nil
				}
				s.add(from.(*net.UDPAddr).AddrPort())
			}
		},
		Publish: func(data string) error {
			s := life.get()
			if s == nil {
				return errDown
			}
			for _, to := range s.now() {
				if _, err := s.socket.WriteTo([]byte(data), net.UDPAddrFromAddrPort(to)); err != nil {
					return err
				}
			}
			return nil
		},
		Receive: func(ctx context.Context, h *sim.Host, _ string, r patterntest.Receiver) error {
			conn, err := h.DialContext(ctx, "udp", "server:80")
			if err != nil {
				return err
			}
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			for b := make([]byte, 65536); ctx.Err() == nil; {
				conn.Write([]byte("subscribe"))
				conn.SetReadDeadline(time.Now().Add(20 * time.Second))
				n, err := conn.Read(b)
				for ; err == nil; n, err = conn.Read(b) {
					r.Event(string(b[:n]))
				}
				sleep(ctx, time.Second)
			}
			return nil
		},
	}
}

// What the contract finds in them.
var naive = []struct {
	name     string
	system   patterntest.NewSystem
	story    string
	promises []patterntest.Promise // all that are broken, in the order in which they are found
	text     string                // the first breach
}{
	{"channel", channelPolling, "fifty clients hear of one event", []patterntest.Promise{patterntest.Complete},
		"*, accepted at *, had not reached phone1 3m0s after all faults were over, and phone1 was told of no gap (and * more)"},
	{"channel", channelPolling, "the client crashes while events come", []patterntest.Promise{patterntest.Complete},
		"e14, accepted at 1.44s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 9 more)"},
	{"channel", channelPolling, "the server crashes right after it accepted", []patterntest.Promise{patterntest.Complete},
		"*, accepted at *, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and * more)"},
	{"channel", channelPolling, "a hundred clients lose the server at once", []patterntest.Promise{patterntest.Complete, patterntest.Gentle},
		"e*, had not reached phone1 3m0s after all faults were over, and phone1 was told of no gap*"},

	{"hub", hub, "events of all kinds", []patterntest.Promise{patterntest.Complete},
		"largelargelargelargelarg…, accepted at 400ms, had not reached phone 3m0s after all faults were over, and phone was told of no gap"},
	{"hub", hub, "out of reach for 20m0s", []patterntest.Promise{patterntest.Complete},
		"e2, accepted at 1m0.4s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 19 more)"},
	{"hub", hub, "the client restarts", []patterntest.Promise{patterntest.Complete},
		"e11, accepted at 10.4s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 10 more)"},
	{"hub", hub, "the server loses power and comes back", []patterntest.Promise{patterntest.Complete},
		"e11, accepted at 31.4s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 8 more)"},
	{"hub", hub, "a hundred clients lose the server at once", []patterntest.Promise{patterntest.Gentle},
		"100 of 100 clients tried to connect within the 100ms from * on, after all had lost the server; at most 33 may"},

	{"lines", lines, "events of all kinds", []patterntest.Promise{patterntest.Genuine},
		"\"two\\nlines\" reached phone at 440ms changed to two (and 10 more)"},
	{"lines", lines, "one client of three cannot be reached", []patterntest.Promise{patterntest.Complete, patterntest.Prompt},
		"e2…, accepted at 2.2s, had not reached dead 3m0s after all faults were over, and dead was told of no gap (and 118 more)"},
	{"lines", lines, "one client of three does not read", []patterntest.Promise{patterntest.Prompt},
		"* took * to reach *, over a good network; 120ms is promised (and * more)"},

	{"datagrams", datagrams, "out of reach for 100ms", []patterntest.Promise{patterntest.Complete},
		"e6, accepted at 5.4s, had not reached phone 3m0s after all faults were over, and phone was told of no gap"},
	{"datagrams", datagrams, "out of reach for 2s", []patterntest.Promise{patterntest.Complete},
		"e6, accepted at 5.4s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 1 more)"},
	{"datagrams", datagrams, "out of reach for 30s", []patterntest.Promise{patterntest.Complete},
		"e5, accepted at 6.4s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 19 more)"},
	{"datagrams", datagrams, "a link that flaps", []patterntest.Promise{patterntest.Complete},
		"e5, accepted at 2.4s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 79 more)"},
	{"datagrams", datagrams, "a link with 2 percent loss", []patterntest.Promise{patterntest.Complete},
		"*, accepted at *, had not reached phone 3m0s after all faults were over, and phone was told of no gap*"},
	{"datagrams", datagrams, "a link with 20 percent loss", []patterntest.Promise{patterntest.Complete},
		"*, accepted at *, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and * more)"},
	{"datagrams", datagrams, "a link with bursts of loss", []patterntest.Promise{patterntest.Complete},
		"*, accepted at *, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and * more)"},
	{"datagrams", datagrams, "a link with jitter that reorders", []patterntest.Promise{patterntest.Ordered},
		"* reached phone at *, after *, which was published later (and * more)"},
	{"datagrams", datagrams, "a link with packets that come twice", []patterntest.Promise{patterntest.Once},
		"* reached phone twice, at * and at * (and * more)"},
	{"datagrams", datagrams, "a link with packets that come broken", []patterntest.Promise{patterntest.Complete},
		"*, accepted at *, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and * more)"},
	{"datagrams", datagrams, "a link with 64 kbit per second", []patterntest.Promise{patterntest.Complete},
		"e7…, accepted at 400ms, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 19 more)"},
}

func TestNaiveSystemsAreFound(t *testing.T) {
	fixSeed(t)
	for _, row := range naive {
		t.Run(row.name+" "+row.story, func(t *testing.T) {
			breaches := judge(t, row.system, storyNamed(t, row.story))
			require.Equal(t, row.promises, promises(breaches))
			require.Regexp(t, pattern(row.text), breaches[0].Text)
		})
	}
}

// promises returns which promises are broken, each once.
func promises(breaches []patterntest.Breach) []patterntest.Promise {
	var all []patterntest.Promise
	for _, b := range breaches {
		if !slices.Contains(all, b.Promise) {
			all = append(all, b.Promise)
		}
	}
	return all
}
