package sidecar_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// twice runs a story directly and through the sidecar, over the same link, and returns what it saw of each.
func twice(w *world, story func(url string, host *sim.Host) string) (direct, through string) {
	direct = story("service0:80", w.app)
	through = story("app:15001", w.app)
	return direct, through
}

// frames are why two runs over HTTP/2 may differ.
const frames = "how net/http's goroutines put frames of one instant together"

// What passes through unchanged.
var transparency = []scenario.Row{
	{Name: "SC-19 status, fields and trailers", Reason: "what the app sends and receives is what the service receives and sends",
		Story: same(nil, func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			rw.Header().Set("Trailer", "A")
			rw.Header()["X-Odd-case"] = []string{"1", "2"}
			rw.WriteHeader(299)
			fmt.Fprint(rw, r.Method, r.RequestURI, r.Host, r.Header, r.ContentLength, r.TransferEncoding, string(body), err, r.Trailer)
			rw.Header().Set("A", "b")
			rw.Header().Set(http.TrailerPrefix+"B", "unannounced")
		})},
	{Name: "SC-19 the same over HTTP/2", Races: frames, Reason: "ReverseProxy loses the trailers of requests",
		Story: same(systems.HTTP2(), func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			rw.Header().Set("Trailer", "A")
			rw.WriteHeader(299)
			fmt.Fprint(rw, r.Method, r.RequestURI, r.Host, r.Header, r.ContentLength, string(body), err, r.Trailer)
			rw.Header().Set("A", "b")
			rw.Header().Set(http.TrailerPrefix+"B", "unannounced")
		})},
	{Name: "SC-19 trailers of an answer without a body over HTTP/2", Races: frames, Reason: "its length is announced before the trailers: a gRPC server can send Content-Length 0",
		Story: same(systems.HTTP2(), func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "0")
			rw.Header().Set("Trailer", "Grpc-Status")
			rw.WriteHeader(200)
			http.NewResponseController(rw).Flush()
			rw.Header().Set("Grpc-Status", "9")
		})},
	{Name: "SC-19 a trailer that is announced and does not come over HTTP/2", Races: frames, Reason: "the answer still ends normally",
		Story: same(systems.HTTP2(), func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Trailer", "Sum")
			io.WriteString(rw, "x")
		})},
	{Name: "SC-19 early answers", Reason: "103 must be passed on at once, and so must 102 and an unrequested 100",
		Story: same(nil, early)},
	{Name: "SC-19 early answers over HTTP/2", Races: frames, Reason: "the same over HTTP/2: early answers must be passed on at once",
		Story: same(systems.HTTP2(), early)},
	{Name: "SC-19 a stream, piece by piece", Reason: "each piece arrives as it is sent, even if the length of the answer is known",
		Story: same(nil, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "10")
			for range 10 {
				io.WriteString(rw, "x")
				http.NewResponseController(rw).Flush()
				time.Sleep(100 * ms)
			}
		})},
	{Name: "SC-19 a stream over HTTP/2", Races: frames, Reason: "the same over HTTP/2: each piece arrives as it is sent",
		Story: same(systems.HTTP2(), func(rw http.ResponseWriter, r *http.Request) {
			for range 10 {
				io.WriteString(rw, "x")
				http.NewResponseController(rw).Flush()
				time.Sleep(100 * ms)
			}
		})},
	{Name: "SC-19 only a header, for now", Reason: "the client learns that its stream has begun",
		Story: same(nil, func(rw http.ResponseWriter, r *http.Request) {
			http.NewResponseController(rw).Flush()
			time.Sleep(sec)
		})},
	{Name: "SC-19 a status of gRPC without a body", Races: frames, Reason: "ReverseProxy with FlushInterval -1 turns 2 to 3 % of them into Internal",
		Story: same(systems.HTTP2(), func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/grpc")
			rw.Header().Set("Grpc-Status", "5")
			rw.Header().Set("Grpc-Message", "no such thing")
		})},
	{Name: "SC-19 an answer that is cut", Reason: "a truncated answer must not look like a shorter one",
		Story: same(nil, func(rw http.ResponseWriter, r *http.Request) {
			io.WriteString(rw, "half")
			http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		})},
	{Name: "SC-19 an answer that is cut over HTTP/2", Races: frames, Reason: "the same over HTTP/2: a truncated answer must not look like a shorter one",
		Story: same(systems.HTTP2(), func(rw http.ResponseWriter, r *http.Request) {
			io.WriteString(rw, "half")
			http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		})},
	{Name: "SC-19 a call of gRPC that is cut", Races: frames, Reason: "the caller gets the status that it would get without a proxy, which net/http can give only to an error of its own",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			client := w.app.HTTPClient()
			client.Transport.(*http.Transport).Protocols = systems.HTTP2()
			for _, row := range []struct {
				status string
				cut    func()
			}{
				{"13", func() { panic(http.ErrAbortHandler) }}, // internal: the stream is reset with INTERNAL_ERROR
				{"14", func() { w.replicas[0].host.Crash() }},  // unavailable: the connection is gone
			} {
				w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("Content-Type", "application/grpc")
					io.WriteString(rw, "half")
					http.NewResponseController(rw).Flush()
					time.Sleep(sec)
					row.cut()
				})
				resp, err := client.Post("http://app:15001/a.B/C", "application/grpc", strings.NewReader("x"))
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, "half", string(body))
				require.Equal(t, row.status, resp.Trailer.Get("Grpc-Status"))
				require.Contains(t, resp.Trailer.Get("Grpc-Message"), "sidecar: ")
			}
		}},
	{Name: "SC-19 WebSocket", Reason: "both directions pass, and so does the end",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) {
				c, err := websocket.Accept(rw, r, nil)
				require.NoError(t, err)
				for {
					kind, data, err := c.Read(r.Context())
					if err != nil {
						return
					}
					if string(data) == "bye" {
						c.Close(4000, "as you like")
						return
					}
					c.Write(r.Context(), kind, data)
				}
			})
			direct, through := twice(w, func(url string, h *sim.Host) string {
				c, resp, err := websocket.Dial(t.Context(), "ws://"+url, &websocket.DialOptions{HTTPClient: h.HTTPClient()})
				require.NoError(t, err)
				require.Equal(t, 101, resp.StatusCode)
				for range 5 {
					begin := n.Elapsed()
					require.NoError(t, c.Write(t.Context(), websocket.MessageBinary, []byte("hello")))
					_, data, err := c.Read(t.Context())
					require.NoError(t, err)
					require.Equal(t, "hello", string(data))
					require.Equal(t, 80*ms, round(n.Elapsed()-begin))
				}
				c.Write(t.Context(), websocket.MessageText, []byte("bye"))
				_, _, err = c.Read(t.Context())
				return err.Error()
			})
			require.Equal(t, direct, through)
		}},
	{Name: "SC-19 each half of an upgraded connection ends by itself", Reason: "the end of one direction must not end the other",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) {
				conn, rd, err := http.NewResponseController(rw).Hijack()
				require.NoError(t, err)
				defer conn.Close()
				io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello ")
				all, _ := io.ReadAll(rd)
				time.Sleep(sec)
				conn.Write(all)
			})
			direct, through := twice(w, func(url string, h *sim.Host) string {
				conn, err := h.Dial("tcp", url)
				require.NoError(t, err)
				defer conn.Close()
				io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
				in := textproto.NewReader(bufio.NewReader(conn))
				line, _ := in.ReadLine()
				head, _ := in.ReadMIMEHeader()
				io.WriteString(conn, "world")
				conn.(*sim.TCPConn).CloseWrite()
				rest, err := io.ReadAll(in.R)
				return fmt.Sprint(line, head.Get("Upgrade"), string(rest), err)
			})
			require.Equal(t, direct, through)
			require.Contains(t, through, "hello world")
		}},
	{Name: "SC-19 an upgraded connection breaks", Reason: "the data is truncated: neither end may take it for complete",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			heard := make(chan error, 1)
			breaks := false // at the service
			w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) {
				conn, rd, err := http.NewResponseController(rw).Hijack()
				require.NoError(t, err)
				defer conn.Close()
				io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
				if breaks {
					time.Sleep(sec)
					conn.(*sim.TCPConn).SetLinger(0)
					return
				}
				_, err = io.Copy(io.Discard, rd)
				heard <- err
			})
			for _, breaks = range []bool{false, true} {
				direct, through := twice(w, func(url string, h *sim.Host) string {
					conn, err := h.Dial("tcp", url)
					require.NoError(t, err)
					defer conn.Close()
					io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
					_, err = http.ReadResponse(bufio.NewReader(conn), nil)
					require.NoError(t, err)
					if breaks {
						_, err := conn.Read(make([]byte, 1))
						require.ErrorIs(t, err, syscall.ECONNRESET)
						return "the client is told"
					}
					io.WriteString(conn, "half of what")
					time.Sleep(sec)
					conn.(*sim.TCPConn).SetLinger(0)
					conn.Close()
					require.ErrorIs(t, <-heard, syscall.ECONNRESET)
					return "the service is told"
				})
				require.Equal(t, direct, through)
			}
		}},
	{Name: "SC-19 an answer before the end of the request", Reason: "both directions pass data at the same time for as long as both last",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) {
				ctl := http.NewResponseController(rw)
				ctl.EnableFullDuplex()
				buf := make([]byte, 10)
				for {
					k, err := r.Body.Read(buf)
					rw.Write(buf[:k])
					ctl.Flush()
					if err != nil {
						return
					}
				}
			})
			direct, through := twice(w, func(url string, h *sim.Host) string {
				body, in := io.Pipe()
				req, _ := http.NewRequest("POST", "http://"+url, body)
				answers := make(chan *http.Response, 1)
				go func() { resp, _ := h.HTTPClient().Do(req); answers <- resp }()
				io.WriteString(in, "one")
				resp := <-answers
				defer resp.Body.Close()
				buf, out := make([]byte, 10), ""
				for _, s := range []string{"two", "three"} {
					k, _ := resp.Body.Read(buf)
					out += string(buf[:k]) + " "
					begin := n.Elapsed()
					io.WriteString(in, s)
					k, _ = resp.Body.Read(buf)
					out += fmt.Sprint(string(buf[:k]), round(n.Elapsed()-begin), " ")
					if s == "two" {
						io.WriteString(in, "more")
					}
				}
				in.Close()
				rest, err := io.ReadAll(resp.Body)
				return fmt.Sprint(out, string(rest), err)
			})
			require.Equal(t, direct, through)
			require.Contains(t, through, "two80ms")
		}},
	{Name: "SC-19 an answer that ends before its request", Reason: "the service has read enough, and the client waits for the end of the answer before it sends more",
		Story: enough(nil, 210*ms)},
	{Name: "SC-19 an answer that ends before its request over HTTP/2", Races: frames, Reason: "a bidirectional gRPC call that fails early",
		Story: enough(systems.HTTP2(), 160*ms)},
	{Name: "SC-19 a client that asks before it sends", Reason: "Expect: 100-continue: a refusal arrives before the body is sent, and permission comes only from the service",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			allow := false
			w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) {
				time.Sleep(500 * ms)
				if !allow {
					rw.WriteHeader(403)
					return
				}
				body, _ := io.ReadAll(r.Body)
				rw.Write(body)
			})
			for _, allow = range []bool{false, true} {
				w.get() // the sidecar has a connection
				direct, through := twice(w, func(url string, h *sim.Host) string {
					conn, err := h.Dial("tcp", url)
					require.NoError(t, err)
					defer conn.Close()
					begin := n.Elapsed()
					io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
					in := bufio.NewReader(conn)
					line, _ := in.ReadString('\n')
					took := round(n.Elapsed() - begin)
					if strings.Contains(line, "100") {
						in.ReadString('\n')
						io.WriteString(conn, "body")
						more, _ := in.ReadString('\n')
						line += more
					}
					return fmt.Sprint(line, took)
				})
				require.Equal(t, direct, through)
			}
		}},
	{Name: "SC-19 many small requests at once on one connection", Reason: "HTTP/1.1 allows pipelining: a request can be sent before the previous answer",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.URL.Path) })
			conn, err := w.app.Dial("tcp", "app:15001")
			require.NoError(t, err)
			defer conn.Close()
			var all strings.Builder
			for i := range 50 {
				fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
			}
			io.WriteString(conn, all.String())
			in := bufio.NewReader(conn)
			for i := range 50 {
				resp, err := http.ReadResponse(in, nil)
				require.NoError(t, err)
				body, _ := io.ReadAll(resp.Body)
				require.Equal(t, fmt.Sprint("/", i), string(body))
			}
		}},
	{Name: "SC-19 a service that ends its connection with each answer", Reason: "Connection: close concerns one of two connections: the client keeps its own, and no POST is lost",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			w.replicas[0].does(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Connection", "close")
				io.WriteString(rw, "done")
			})
			conn, err := w.app.Dial("tcp", "app:15001")
			require.NoError(t, err)
			defer conn.Close()
			for range 3 {
				begin := n.Elapsed()
				io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, "done", string(body))
				require.False(t, resp.Close, "the client's connection goes on")
				require.Equal(t, 160*ms, round(n.Elapsed()-begin), "a new connection, and the request")
				time.Sleep(sec)
			}
			require.EqualValues(t, 3, w.begun())
		}},
	{Name: "SC-19 a client that ends its connection with each request", Reason: "the mirror image: the connections to the service are kept",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			for _, took := range []time.Duration{160 * ms, 80 * ms, 80 * ms} {
				begin := n.Elapsed()
				conn, err := w.app.Dial("tcp", "app:15001")
				require.NoError(t, err)
				io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				all, err := io.ReadAll(conn)
				require.NoError(t, err)
				require.Contains(t, string(all), "\r\nConnection: close\r\n")
				require.True(t, strings.HasSuffix(string(all), "service0"), "%s", all)
				require.Equal(t, took, round(n.Elapsed()-begin), "a new connection the first time alone")
				conn.Close()
			}
			require.EqualValues(t, 3, w.begun())
		}},
	{Name: "SC-20 a client goes while it waits", Reason: "without notice the service would work for nobody, for as long as it likes",
		Story: goes("GET", "", 200*ms)},
	{Name: "SC-20 a client goes, and the service reads its body first", Reason: "the same for a request with a body",
		Story: goes("POST", strings.Repeat("x", 100_000), 3*sec)},
	{Name: "SC-20 a client breaks off an upload", Reason: "a truncated request must not be taken for a complete one",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			read := make(chan error, 1)
			w.replicas[0].does(func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				read <- err
			})
			conn, err := w.app.Dial("tcp", "app:15001")
			require.NoError(t, err)
			io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
			time.Sleep(sec)
			begin := n.Elapsed()
			conn.Close()
			require.ErrorIs(t, <-read, io.ErrUnexpectedEOF)
			require.Equal(t, 40*ms, round(n.Elapsed()-begin), "a transit")
			time.Sleep(sec)
			require.Zero(t, w.up.Replicas()[0].Active)
			require.EqualValues(t, 1, w.begun())
		}},
	{Name: "SC-20 a client goes in the middle of a stream", Reason: "the service notices at once, or when it sends",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 1)
			ended := make(chan struct{})
			w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) {
				io.WriteString(rw, "x")
				http.NewResponseController(rw).Flush()
				<-r.Context().Done()
				close(ended)
			})
			ctx, cancel := context.WithTimeout(t.Context(), sec)
			defer cancel()
			begin := n.Elapsed()
			w.callWith(ctx, "GET", "")
			<-ended
			require.Equal(t, sec+40*ms, round(n.Elapsed()-begin))
		}},
	{Name: "raw TCP", Reason: "connections that are not HTTP pass too, each direction independently",
		Story: func(t *testing.T, n *sim.Network) {
			w := start(t, n, 0, func(up *sidecar.Upstream) { up.Addrs = []string{"x:1"} })
			db := n.Host("db")
			n.Link(w.app, db, scenario.Good)
			l, err := db.Listen("tcp", ":5432")
			require.NoError(t, err)
			ended := make(chan error, 2)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						all, err := io.ReadAll(c)
						if err != nil {
							ended <- err
						}
						time.Sleep(sec)
						c.Write(all)
						c.Close()
					}()
				}
			}()
			p := &sidecar.Proxy{Config: sidecar.Config{TCP: &sidecar.Upstream{Name: "db", Addrs: []string{"db:5432"}, DialContext: w.app.DialContext}}}
			w.app.Run("raw", func(ctx context.Context, h *sim.Host) error {
				l, err := h.Listen("tcp", ":5432")
				require.NoError(t, err)
				defer context.AfterFunc(ctx, func() { p.Close() })()
				p.Serve(l)
				return p.Close()
			})
			time.Sleep(1)
			direct, through := "", ""
			for _, way := range []struct {
				to  string
				got *string
			}{{"db:5432", &direct}, {"app:5432", &through}} {
				c, err := w.app.Dial("tcp", way.to)
				require.NoError(t, err)
				io.WriteString(c, "hello")
				c.(*sim.TCPConn).CloseWrite()
				all, err := io.ReadAll(c)
				*way.got = fmt.Sprint(string(all), err)
				c.Close()
			}
			require.Equal(t, direct, through)
			for _, to := range []string{"db:5432", "app:5432"} {
				c, err := w.app.Dial("tcp", to)
				require.NoError(t, err)
				io.WriteString(c, "half")
				time.Sleep(sec)
				c.(*sim.TCPConn).SetLinger(0)
				c.Close()
				require.ErrorIs(t, <-ended, syscall.ECONNRESET, "half a question is none")
			}
			db.Crash()
			c, err := w.app.Dial("tcp", "app:5432")
			require.NoError(t, err)
			_, err = c.Read(make([]byte, 1))
			require.Error(t, err)
			require.NotErrorIs(t, err, io.EOF, "what was not connected is no empty answer")
		}},
}

func same(protocols *http.Protocols, handler http.HandlerFunc) func(*testing.T, *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		w := start(t, n, 1)
		w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) {
			// Else the trailers may meet an answer that has ended, for which net/http's server of HTTP/2 ends the connection (golang.org/issue/58286): the second request would have another one.
			defer io.Copy(io.Discard, r.Body)
			handler(rw, r)
		})
		direct, through := twice(w, func(url string, h *sim.Host) string {
			client := h.HTTPClient()
			tr := client.Transport.(*http.Transport)
			tr.Protocols = protocols
			tr.ExpectContinueTimeout = 0
			defer client.CloseIdleConnections()
			var seen strings.Builder
			for range 2 { // the second on a connection that exists
				req, _ := http.NewRequest("POST", "http://"+url+"/a%2fb/../c?x=%zz;y", io.MultiReader(strings.NewReader("hello"), strings.NewReader(" world")))
				req.Host = "example.test"
				req.Header.Set("Te", "trailers")
				req.Header.Set("X-Forwarded-For", "1.2.3.4")
				req.Trailer = http.Header{"Sum": {"42"}}
				begin := n.Elapsed()
				req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
						fmt.Fprintln(&seen, code, header, round(n.Elapsed()-begin))
						return nil
					},
				}))
				resp, err := client.Do(req)
				require.NoError(t, err)
				fmt.Fprintln(&seen, resp.Proto, resp.Status, resp.Header, resp.ContentLength, resp.TransferEncoding, round(n.Elapsed()-begin))
				connected := n.Elapsed() - begin
				buf := make([]byte, 1000)
				for err == nil {
					var k int
					k, err = resp.Body.Read(buf)
					fmt.Fprintln(&seen, string(buf[:k]), round(n.Elapsed()-begin-connected), err)
				}
				resp.Body.Close()
				fmt.Fprintln(&seen, resp.Trailer)
				time.Sleep(sec)
			}
			return seen.String()
		})
		require.Equal(t, timeless(direct), timeless(through))
		require.EqualValues(t, 4, w.begun())
	}
}

// early has a service send three answers before the one that counts, a second apart.
func early(rw http.ResponseWriter, _ *http.Request) {
	for _, status := range []int{102, 103, 100} {
		rw.Header().Set("Link", fmt.Sprint("</", status, ">"))
		rw.WriteHeader(status)
		time.Sleep(sec)
	}
	rw.WriteHeader(200)
}

// enough has a service answer after the first piece of a request whose client sends the next one when the answer has ended. Connecting takes 80 ms, and the answer as much; the
// transport of HTTP/1.1 waits for another 50 ms for the rest of the request.
func enough(protocols *http.Protocols, took time.Duration) func(*testing.T, *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		w := start(t, n, 1)
		w.replicas[0].does(func(rw http.ResponseWriter, r *http.Request) {
			http.NewResponseController(rw).EnableFullDuplex()
			io.ReadFull(r.Body, make([]byte, 3))
			io.WriteString(rw, "enough")
			http.NewResponseController(rw).Flush() // its length is not told, only its end
		})
		direct, through := twice(w, func(url string, h *sim.Host) string {
			client := h.HTTPClient()
			client.Transport.(*http.Transport).Protocols = protocols
			defer client.CloseIdleConnections()
			body, in := io.Pipe()
			defer in.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*sec)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, "POST", "http://"+url, body)
			require.NoError(t, err)
			go io.WriteString(in, "one")
			begin := n.Elapsed()
			resp, err := client.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			all, err := io.ReadAll(resp.Body)
			time.Sleep(1) // net/http closes the connection, before the request's body has an end that would be written
			return fmt.Sprint(resp.Status, string(all), err, round(n.Elapsed()-begin))
		})
		require.Equal(t, direct, through)
		require.Equal(t, fmt.Sprint("200 OK", "enough", nil, took), through)
		time.Sleep(sec)
		require.Zero(t, w.up.Replicas()[0].Active)
	}
}

// timeless leaves out when something was, and the number of a stream, which says how many a connection has had.
func timeless(text string) string { return incidental.ReplaceAllString(text, "") }

var incidental = regexp.MustCompile(`Date:\[[^]]*\]|stream ID \d+`)

// goes has a client give up after a time, which the service, which waits for that, must hear a transit later.
func goes(method, body string, after time.Duration) func(*testing.T, *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		w := start(t, n, 1)
		ended := make(chan time.Duration, 1)
		w.replicas[0].does(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			ended <- n.Elapsed()
		})
		ctx, cancel := context.WithTimeout(t.Context(), after)
		defer cancel()
		begin := n.Elapsed()
		a := w.callWith(ctx, method, body)
		require.ErrorIs(t, a.err, context.DeadlineExceeded)
		require.Equal(t, after+40*ms, round(<-ended-begin))
		time.Sleep(sec)
		require.Zero(t, w.up.Replicas()[0].Active)
		require.EqualValues(t, 1, w.begun(), "nobody asks again")
	}
}
