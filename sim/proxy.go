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

// A ProxyConfig is what a reverse proxy does beside passing requests on.
type ProxyConfig struct {
	// Timeout is how long it waits for the header of an answer before it answers 504 itself. Default 60 s: nginx's
	// proxy_read_timeout, and the idle timeout of AWS's Application Load Balancer.
	Timeout time.Duration

	// Buffer is how many bytes of an answer it collects before it hands any on, as nginx's proxy_buffering does with streams
	// too (a page of memory, 4096 or 8192). Zero: it hands on what comes at once.
	Buffer int

	// MaxBody is the largest body of a request, in bytes, larger ones being answered by 413 (nginx: client_max_body_size, 1 MB). Zero:
	// any.
	MaxBody int64
}

// Proxy returns a handler that passes requests on to another host, by HTTP over the network: serve it on h, by [Host.ServeHTTP], or with a
// TLS listener, to have TLS end here. to is the URL of the other host, as in "http://server:8080". It answers 502 if that cannot be
// reached. It panics if to is no URL of HTTP, or cfg has a negative value.
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

// statusOf is what a proxy answers when it gets no answer.
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

// A collected body is read in pieces of the size of a buffer, but for the last; with none, as it comes.
type collected struct {
	io.ReadCloser
	waited bool
	buffer []byte
	ready  []byte // of the buffer, what was not read yet
	err    error  // of the read that filled it
}

func (c *collected) Read(p []byte) (int, error) {
	if !c.waited {
		// ReverseProxy flushes the header from a goroutine of its own: so that comes first.
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
