package systems

import (
	"context"
	"net/http"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// A Tap observes the HTTP traffic of a system or service, at its clients and at its servers (inside any sidecar). Its methods return replacements for
// their arguments.
type Tap interface {
	Client(h *sim.Host, next http.RoundTripper) http.RoundTripper
	Server(h *sim.Host, next http.Handler) http.Handler
}

type tapped struct{}

// Tapped returns the same system with a tap.
func Tapped(s patterntest.System, tap Tap) patterntest.System {
	serve, receive := s.Serve, s.Receive
	s.Serve = func(ctx context.Context, h *sim.Host, folder string) error {
		return serve(context.WithValue(ctx, tapped{}, tap), h, folder)
	}
	s.Receive = func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
		return receive(context.WithValue(ctx, tapped{}, tap), h, name, r)
	}
	if s.Work != nil {
		work, receiveWork := *s.Work, s.Work.Receive
		s.Work = &work
		s.Work.Receive = func(ctx context.Context, h *sim.Host, name, group string, w patterntest.Worker) error {
			return receiveWork(context.WithValue(ctx, tapped{}, tap), h, name, group, w)
		}
	}
	return s
}

// TappedService returns the same service with a tap.
func TappedService(s patterntest.Service, tap Tap) patterntest.Service {
	serve, client := s.Serve, s.Client
	s.Serve = func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
		return serve(context.WithValue(ctx, tapped{}, tap), h, app)
	}
	s.Client = func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
		return client(context.WithValue(ctx, tapped{}, tap), h, servers...)
	}
	return s
}

// httpClient returns an HTTP client on h, with the tap if there is one.
func httpClient(ctx context.Context, h *sim.Host) *http.Client {
	c := h.HTTPClient()
	if tap, ok := ctx.Value(tapped{}).(Tap); ok {
		c.Transport = tap.Client(h, c.Transport)
	}
	return c
}

// tapHandler returns a handler on h, with the tap if there is one.
func tapHandler(ctx context.Context, h *sim.Host, next http.Handler) http.Handler {
	if tap, ok := ctx.Value(tapped{}).(Tap); ok {
		return tap.Server(h, next)
	}
	return next
}
