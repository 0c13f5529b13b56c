package systems

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/sim"
)

// besideSidecar is the key of a context's func(*sidecar.Upstream), which changes how a server's sidecar passes requests on.
type besideSidecar struct{}

// BesideSidecar returns the same system with a sidecar on its server's host. All HTTP requests to the server pass through the sidecar.
func BesideSidecar(s patterntest.System) patterntest.System {
	serve := s.Serve
	s.Serve = func(ctx context.Context, h *sim.Host, folder string) error {
		return serve(context.WithValue(ctx, besideSidecar{}, func(*sidecar.Upstream) {}), h, folder)
	}
	return s
}

// ServiceBesideSidecar is BesideSidecar for a service. Its clients decide what to repeat and how long to wait.
func ServiceBesideSidecar(s patterntest.Service) patterntest.Service {
	serve := s.Serve
	s.Serve = func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
		return serve(context.WithValue(ctx, besideSidecar{}, passes), h, app)
	}
	if s.Streams != nil {
		s.Streams.Buffer = 8 << 20 // the buffers of three connections
	}
	return s
}

// passes makes a sidecar pass each request on once.
func passes(up *sidecar.Upstream) {
	up.MaxAttempts, up.Timeout, up.Breaker.MinRequests = 1, time.Hour, 1<<30
	dial := up.DialContext
	up.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		takesLittle(conn)
		return conn, err
	}
}

// serveHTTP is patterntest.ServeHTTP, with a sidecar in front if the system has one.
func serveHTTP(ctx context.Context, h *sim.Host, handler http.Handler) error {
	handler = tapHandler(ctx, h, handler)
	option, ok := ctx.Value(besideSidecar{}).(func(*sidecar.Upstream))
	if !ok {
		return patterntest.ServeHTTP(ctx, h, handler)
	}
	p, outside, inside, err := beside(h, option)
	if err != nil {
		return err
	}
	app := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- app.Serve(inside) }()
	stop := context.AfterFunc(ctx, func() { p.Close() })
	err = p.Serve(outside)
	stop()
	p.Close()
	app.Close()
	<-ended
	if ctx.Err() != nil || errors.Is(err, sidecar.ErrClosed) {
		return nil
	}
	return err
}

// listen returns the listener for a server on h: the host's port 80, or the listener to which a sidecar passes requests on, if the system
// has one. end ends the sidecar.
func listen(ctx context.Context, h *sim.Host) (l net.Listener, end func(), err error) {
	option, ok := ctx.Value(besideSidecar{}).(func(*sidecar.Upstream))
	if !ok {
		l, err := h.Listen("tcp", ":80")
		return l, func() {}, err
	}
	p, outside, inside, err := beside(h, option)
	if err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(outside) }()
	return inside, func() {
		p.Close()
		<-ended
	}, nil
}

// beside runs a sidecar on h. It passes connections from outside on to the listener inside.
func beside(h *sim.Host, option func(*sidecar.Upstream)) (p *sidecar.Proxy, outside, inside net.Listener, err error) {
	if outside, err = h.Listen("tcp", ":80"); err != nil {
		return nil, nil, nil, err
	}
	if inside, err = h.Listen("tcp", ":8080"); err != nil {
		outside.Close()
		return nil, nil, nil, err
	}
	up := &sidecar.Upstream{Name: h.Name(), Addrs: []string{h.Name() + ":8080"}, DialContext: h.DialContext}
	option(up)
	return &sidecar.Proxy{Config: sidecar.Config{Routes: []sidecar.Route{{Upstream: up}}}}, outside, inside, nil
}
