package systems

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/sim"
)

type besideSidecar struct{}

// BesideSidecar is the same system with a sidecar on its server's host, through which all that is over HTTP comes in.
func BesideSidecar(s patterntest.System) patterntest.System {
	serve := s.Serve
	s.Serve = func(ctx context.Context, h *sim.Host, folder string) error {
		return serve(context.WithValue(ctx, besideSidecar{}, true), h, folder)
	}
	return s
}

// serveHTTP is patterntest.ServeHTTP, behind a sidecar if there is to be one.
func serveHTTP(ctx context.Context, h *sim.Host, handler http.Handler) error {
	if ctx.Value(besideSidecar{}) == nil {
		return patterntest.ServeHTTP(ctx, h, handler)
	}
	outside, err := h.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	inside, err := h.Listen("tcp", ":8080")
	if err != nil {
		outside.Close()
		return err
	}
	p := &sidecar.Proxy{Config: sidecar.Config{Routes: []sidecar.Route{{Upstream: &sidecar.Upstream{
		Name: h.Name(), Addrs: []string{h.Name() + ":8080"}, DialContext: h.DialContext,
	}}}}}
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
