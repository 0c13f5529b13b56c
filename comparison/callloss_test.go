package comparison

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/mux"
	"github.com/squall-sim/squall/sim"
)

// What many answers at a time take over one connection, over six, and over streams that do not wait for each other.

// pageRun is a page of 60 objects of 20 kB, loaded 30 times over connections that are kept, 2 s apart: 25 ms each way, 20 Mbit/s, and packets that are lost.
type pageRun struct {
	over    string
	percent int // of the packets
}

const (
	pages, objects, objectBytes = 30, 60, 20_000

	http1One, http1Six    = "HTTP/1.1, one connection", "HTTP/1.1, six connections"
	http2One, muxOne      = "HTTP/2", "mux"
	http3One              = "HTTP/3"
	pageHost, streamsPort = "server", ":9000"
)

var pageWays = []string{http1One, http1Six, http2One, muxOne, http3One}

type pageFigures struct {
	page, object50, object99 time.Duration // medians of pages and objects, and all but one in a hundred objects
}

// A fetch gets an object.
type fetch func(ctx context.Context) error

func (r pageRun) run(t *testing.T, n *sim.Network) (f pageFigures) {
	server, client := n.Host(pageHost), n.Host("client")
	cfg := netem.Config{Delay: 25 * time.Millisecond, Rate: 20 * netem.Mbit, Queue: netem.DropTail{Packets: 200}, Loss: netem.Bernoulli(float64(r.percent) / 100)}
	n.Link(client, server, cfg)
	get := r.way(t, n, server, client)
	must(get(t.Context())) // there is a connection
	var wholes, singles []time.Duration
	for range pages {
		time.Sleep(2 * time.Second)
		began := n.Elapsed()
		took := make([]time.Duration, objects)
		var all sync.WaitGroup
		for i := range took {
			all.Go(func() {
				must(get(t.Context()))
				took[i] = n.Elapsed() - began
			})
		}
		all.Wait()
		wholes, singles = append(wholes, slices.Max(took)), append(singles, took...)
	}
	slices.Sort(wholes)
	slices.Sort(singles)
	f.page, f.object50, f.object99 = quantile(wholes, 0.5), quantile(singles, 0.5), quantile(singles, 0.99)
	return f
}

var object = make([]byte, objectBytes)

var objectHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(object) })

// way starts a server and returns how to get an object from it.
func (r pageRun) way(t *testing.T, n *sim.Network, server, client *sim.Host) fetch {
	switch r.over {
	case muxOne:
		return overMux(t, server, client)
	case http3One:
		return overHTTP3(t, n, server, client)
	}
	h := client.HTTPClient()
	tr := h.Transport.(*http.Transport)
	tr.MaxIdleConnsPerHost = 6
	switch r.over {
	case http1One:
		tr.Protocols, tr.MaxConnsPerHost = systems.HTTP1(), 1
	case http1Six:
		tr.Protocols, tr.MaxConnsPerHost = systems.HTTP1(), 6
	default:
		tr.Protocols = systems.HTTP2()
	}
	srv := &http.Server{Handler: objectHandler, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	l, err := server.Listen("tcp", ":80")
	must(err)
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close(); h.CloseIdleConnections() })
	return byHTTP(h, "http://server/")
}

// byHTTP gets an object by HTTP.
func byHTTP(h *http.Client, url string) fetch {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := h.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return whole(resp.Body)
	}
}

// whole reads an object to its end.
func whole(from io.Reader) error {
	if n, err := io.Copy(io.Discard, from); err != nil || n != objectBytes {
		return fmt.Errorf("got %d of %d bytes: %w", n, objectBytes, err)
	}
	return nil
}

func overMux(t *testing.T, server, client *sim.Host) fetch {
	l, err := server.Listen("tcp", streamsPort)
	must(err)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveObjects(mux.Config{}.Server(conn))
		}
	}()
	c := &mux.Client{Addr: pageHost + streamsPort, DialContext: client.DialContext}
	t.Cleanup(func() { c.Close(); l.Close() })
	return func(ctx context.Context) error {
		st, err := c.Open(ctx)
		if err != nil {
			return err
		}
		defer st.Close()
		if _, err := st.Write([]byte{'?'}); err != nil {
			return err
		}
		return whole(st)
	}
}

// serveObjects answers each stream of a session with an object.
func serveObjects(session *mux.Session) {
	for {
		st, err := session.Accept()
		if err != nil {
			return
		}
		go func() {
			defer st.Close()
			if _, err := io.ReadFull(st, make([]byte, 1)); err == nil {
				st.Write(object)
			}
		}()
	}
}

func overHTTP3(t *testing.T, n *sim.Network, server, client *sim.Host) fetch {
	listening, err := server.ListenPacket("udp", ":443")
	must(err)
	srv := &http3.Server{Handler: objectHandler, TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{server.Certificate()}})}
	go srv.Serve(listening)
	pc, err := client.ListenPacket("udp", ":0")
	must(err)
	q := &quic.Transport{Conn: pc}
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(server.Addr(), 443))
	tr := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: n.Roots(), ServerName: pageHost},
		Dial: func(ctx context.Context, _ string, conf *tls.Config, settings *quic.Config) (*quic.Conn, error) {
			return q.DialEarly(ctx, to, conf, settings)
		},
	}
	t.Cleanup(func() {
		tr.Close()
		q.Close()
		srv.Close()
		pc.Close()
		listening.Close()
	})
	return byHTTP(&http.Client{Transport: tr}, "https://server/")
}
