package stream_test

import (
	"compress/gzip"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// What stands between the server of a stream and its clients.

// cutWriter breaks the connection when so many bytes of the body are written.
type cutWriter struct {
	http.ResponseWriter
	left int
	sent *atomic.Int64
}

func (w *cutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *cutWriter) Write(b []byte) (int, error) {
	n := slices.Min([]int{len(b), w.left})
	w.left -= n
	w.sent.Add(int64(n))
	w.ResponseWriter.Write(b[:n])
	if n < len(b) {
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

// proxyOptions say what a reverse proxy does to the stream that it passes on.
type proxyOptions struct {
	buffer int  // bytes that it collects before it passes them on
	gzip   bool // it compresses, and leaves it to the compressor when to write
	polite bool // it honours X-Accel-Buffering and no-transform
}

// throughProxy serves a stream, and has a client receive it through a proxy.
func throughProxy(n *sim.Network, o proxyOptions, srv *stream.Server) (*stream.Server, *streamee) {
	serveStream(n, srv)
	proxy := n.Host("proxy")
	n.Link(proxy, n.Host("server"), scenario.Good)
	target, _ := url.Parse("http://server/")
	proxy.ServeHTTP(":80", &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     proxy.HTTPClient().Transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // that a stream ends with its client or server is expected
		ModifyResponse: func(resp *http.Response) error {
			// ReverseProxy flushes the headers of a stream from a goroutine of its own, which
			// races the first bytes of the body.
			resp.Body = &afterHeader{ReadCloser: resp.Body}
			if o.polite && (resp.Header.Get("X-Accel-Buffering") == "no" || strings.Contains(resp.Header.Get("Cache-Control"), "no-transform")) {
				return nil
			}
			if o.gzip {
				resp.Header.Set("Content-Encoding", "gzip")
				resp.Body = compressed(resp.Body)
			}
			if o.buffer > 0 {
				resp.Body = &collector{ReadCloser: resp.Body, size: o.buffer}
			}
			return nil
		},
	})
	c := receive(n, "phone", &stream.Client{URL: "http://proxy/"})
	time.Sleep(time.Second)
	return srv, c
}

// afterHeader has nothing to read until a nanosecond has passed.
type afterHeader struct {
	io.ReadCloser
	waited bool
}

func (b *afterHeader) Read(p []byte) (int, error) {
	if !b.waited {
		b.waited = true
		time.Sleep(1)
	}
	return b.ReadCloser.Read(p)
}

// collector hands over size bytes at once, or what there is at the end.
type collector struct {
	io.ReadCloser
	size   int
	buf    []byte
	filled []byte
	err    error
}

func (c *collector) Read(p []byte) (int, error) {
	for len(c.filled) == 0 && c.err == nil {
		piece := make([]byte, slices.Min([]int{4 << 10, c.size - len(c.buf)}))
		n, err := c.ReadCloser.Read(piece)
		c.buf, c.err = append(c.buf, piece[:n]...), err
		if len(c.buf) == c.size || err != nil {
			c.filled, c.buf = c.buf, nil
		}
	}
	if len(c.filled) == 0 {
		return 0, c.err
	}
	n := copy(p, c.filled)
	c.filled = c.filled[n:]
	return n, nil
}

// compressed reads the gzip of body.
func compressed(body io.ReadCloser) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		z := gzip.NewWriter(w)
		_, err := io.Copy(z, body)
		body.Close()
		if err == nil {
			err = z.Close()
		}
		w.CloseWithError(err)
	}()
	return r
}

// manyStreams has one host open streams over HTTP/2, to a server that allows 100 on a
// connection. Strict: the client has one connection only.
func manyStreams(n *sim.Network, count int, strict bool) (*stream.Server, []*streamee) {
	srv := newStream(&stream.Server{})
	protocols := systems.HTTP2()
	serveBy(n, &http.Server{Handler: srv.Handler(), Protocols: protocols, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 100}})
	phone := n.Host("phone")
	h := phone.HTTPClient()
	tr := h.Transport.(*http.Transport)
	tr.Protocols, tr.HTTP2 = protocols, &http.HTTP2Config{StrictMaxConcurrentRequests: strict}
	n.Link(phone, n.Host("server"), scenario.Good)
	var all []*streamee
	for range count {
		c := &streamee{Client: &stream.Client{URL: "http://server/", HTTP: h, Jitter: retry.NoJitter}, host: phone, net: n}
		c.run()
		all = append(all, c)
		time.Sleep(time.Millisecond)
	}
	return srv, all
}

// carried is the number of bytes that one host sent another, headers included.
func carried(n *sim.Network, from, to string) int64 {
	for _, l := range n.Stats().Links {
		if l.From == from && l.To == to {
			return l.SentBytes
		}
	}
	return 0
}
