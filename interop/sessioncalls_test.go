package interop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// Stores of sessions: what becomes of a value that several requests change.
var sessionStores = []callLibrary{
	{name: "scs, in the contract of calls", service: bySessions, breaks: []callConviction{
		{"an object that several change at a time", promises{patterntest.Linearizable}, "a request stores the session as it was when it began, and what it changed"},
		{"an object is cleared while others change it", promises{patterntest.Linearizable}, "the same brings back a session that was ended"},
	}, keeps: []string{goneAwhile, hangs}},
}

// bySessions keeps each caller's objects in a session of scs, which an object that is cleared ends.
func bySessions(*sim.Network) patterntest.Service {
	m := scs.New()
	time.Sleep(time.Nanosecond) // its cleaner has begun: before that StopCleanup does nothing
	m.Store.(*memstore.MemStore).StopCleanup()
	m.Store = memstore.NewWithCleanupInterval(0)
	m.Cookie.Secure = false
	service := calling(nil, nil)(nil)
	service.Serve = func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
		plain := answers{app}
		return patterntest.ServeHTTP(ctx, h, m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch object := strings.TrimPrefix(r.URL.Path, "/"); object {
			case "":
				plain.ServeHTTP(w, r)
			case "enter":
				m.Put(r.Context(), "entered", true)
			default:
				changeInSession(m, app, object, w, r)
			}
		})))
	}
	service.Client = func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
		c := web{ctx, h.HTTPClient(), "http://" + servers[0] + "/"}
		c.http.Jar, _ = cookiejar.New(nil)
		context.AfterFunc(ctx, c.http.CloseIdleConnections)
		return inSession(c)
	}
	service.State = &patterntest.State{Own: true}
	return service
}

func changeInSession(m *scs.SessionManager, app *patterntest.App, object string, w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	change, err := app.Change(r.Context(), string(data))
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	before := m.GetString(r.Context(), object)
	next, answer := change(before)
	switch {
	case next == before:
	case next == "":
		err = m.Destroy(r.Context())
	default:
		m.Put(r.Context(), object, next)
	}
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	io.WriteString(w, answer)
}

// inSession asks, and about an object not before there is a session: of two requests without a cookie each would have another.
func inSession(c web) patterntest.Ask {
	first := make(chan struct{}, 1)
	at, _ := url.Parse(c.url)
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		ask := c
		if ask.url += r.Object; r.Object == "" {
			return ask.post(ctx, r)
		}
		select {
		case first <- struct{}{}:
		default:
			select {
			case first <- struct{}{}:
				time.Sleep(time.Microsecond) // those who have waited go on one after the other
			case <-ctx.Done():
				return "", notExecuted(ctx.Err())
			}
		}
		var err error
		if len(c.http.Jar.Cookies(at)) == 0 {
			enter := c
			enter.url += "enter"
			_, err = enter.post(ctx, patterntest.Request{})
		}
		<-first
		if err != nil {
			return "", errors.Join(patterntest.ErrNotExecuted, err)
		}
		return ask.post(ctx, r)
	}
}
