package sim

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

// A ProxyConfig says what a reverse proxy does besides passing requests on.
type ProxyConfig struct {
	// Timeout is how long the proxy waits for the header of an answer before it answers 504 itself. Default
	// 60 s, as nginx's proxy_read_timeout and the idle timeout of AWS's Application Load Balancer.
	Timeout time.Duration

	// Buffer is how many bytes of an answer the proxy collects before it passes any on, as nginx's
	// proxy_buffering does even with streams (a page of memory, 4096 or 8192). Zero: it passes on at once.
	Buffer int

	// MaxBody is the largest body of a request, in bytes. The proxy answers a larger one with 413 (nginx:
	// client_max_body_size, 1 MB). Zero: no limit.
	MaxBody int64
}

// Proxy returns a handler that passes requests on to another host, by HTTP over the network. Serve it on h by
// [Host.ServeHTTP], or with a TLS listener to end TLS there. to is the URL of the other host, as in
// "http://server:8080". The proxy answers 502 if it cannot reach that host. Proxy panics if to is not an HTTP
// URL, or cfg has a negative value.
func (h *Host) Proxy(to string, cfg ProxyConfig) http.Handler {
	h.must("Proxy")
	target, err := url.Parse(to)
	switch {
	case err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "":
		panic(fmt.Sprintf("sim: host %s: Proxy(%q): it must be a URL such as http://server", h.name, to))
	case cfg.Timeout < 0:
		panic(fmt.Sprintf("sim: host %s: Proxy: Timeout is %v: it must not be negative", h.name, cfg.Timeout))
	case cfg.Buffer < 0 || cfg.MaxBody < 0:
		panic(fmt.Sprintf("sim: host %s: Proxy: Buffer is %d and MaxBody is %d: they must not be negative", h.name, cfg.Buffer, cfg.MaxBody))
	}
	t := h.HTTPClient().Transport.(*http.Transport)
	if t.ResponseHeaderTimeout = cfg.Timeout; cfg.Timeout == 0 {
		t.ResponseHeaderTimeout = 60 * time.Second
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport:     t,
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.WriteHeader(statusOf(err))
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode != http.StatusSwitchingProtocols {
				resp.Body = &collected{ReadCloser: resp.Body, buffer: make([]byte, cfg.Buffer)}
			}
			return nil
		},
	}
	if cfg.MaxBody == 0 {
		return proxy
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > cfg.MaxBody {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, cfg.MaxBody) // of a body that does not say how long it is
		proxy.ServeHTTP(w, r)
	})
}

// statusOf returns the status that a proxy answers when it gets no answer.
func statusOf(err error) int {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case os.IsTimeout(err):
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// A collected body is read in pieces of the size of a buffer, except for the last piece; without a buffer, as
// it arrives.
type collected struct {
	io.ReadCloser
	waited bool
	buffer []byte
	ready  []byte // part of the buffer that was not read yet
	err    error  // of the read that filled it
}

func (c *collected) Read(p []byte) (int, error) {
	if !c.waited {
		// ReverseProxy flushes the header from a goroutine of its own: so the header goes first.
		c.waited = true
		time.Sleep(1)
	}
	if len(c.buffer) == 0 {
		return c.ReadCloser.Read(p)
	}
	if len(c.ready) == 0 {
		filled := 0
		for filled < len(c.buffer) && c.err == nil {
			var k int
			k, c.err = c.ReadCloser.Read(c.buffer[filled:])
			filled += k
		}
		c.ready = c.buffer[:filled]
	}
	if len(c.ready) == 0 {
		return 0, c.err
	}
	k := copy(p, c.ready)
	c.ready = c.ready[k:]
	return k, nil
}
