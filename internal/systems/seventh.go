package systems

import (
	"context"
	"net/http"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

// Seventh makes a browser open streams, and request something else a second later. It returns the result of that request within an hour.
func Seventh(n *sim.Network, streams int, protocol *http.Protocols) error {
	srv := &stream.Server{Log: eventlog.NewMemory(eventlog.Options{})}
	mux := http.NewServeMux()
	mux.Handle("/events", srv.Handler())
	mux.HandleFunc("/hello", func(http.ResponseWriter, *http.Request) {})
	n.Host("server").ServeHTTP(":80", mux)

	browser := n.Host("browser")
	h := browser.HTTPClient()
	tr := h.Transport.(*http.Transport)
	tr.MaxConnsPerHost, tr.Protocols = 6, protocol
	n.Link(browser, n.Host("server"), netem.Config{Delay: 40 * time.Millisecond})
	for range streams {
		c := &stream.Client{URL: "http://server/events", HTTP: h}
		if streams == 1 {
			c.Topics = []string{"a", "b", "c", "d", "e", "f"}
		}
		browser.Run("stream", func(ctx context.Context, _ *sim.Host) error {
			return c.Run(ctx, func(context.Context, stream.Event) error { return nil })
		})
	}
	time.Sleep(time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/hello", nil)
	resp, err := h.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// HTTP1 and HTTP2 return protocols without TLS.
func HTTP1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

func HTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}
