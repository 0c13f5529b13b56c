package systems

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	neturl "net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/session"
	"github.com/squall-sim/squall/sim"
)

// A SessionKind says where sessions are kept.
type SessionKind string

// The kinds.
const (
	SessionMemory SessionKind = "memory"
	SessionDisk   SessionKind = "disk"
	SessionSigned SessionKind = "signed"
	SessionShared SessionKind = "shared" // by three replicas with a sidecar on each host, in the memory of a process that is always reachable
)

// Session is a web application that counts in each client's session what the client has asked, and its clients, with cookies. If the
// sessions are on disk, clients also ask for objects in a session, which are lost when the session ends.
func Session(n *sim.Network, kind SessionKind) patterntest.Service {
	jars := jars{}
	if kind == SessionShared {
		m := &session.Manager{Insecure: true, Store: &session.Memory{}}
		s := behindSidecars(n, func(app *patterntest.App) http.Handler { return m.Handler(counted(app)) }, func(h *sim.Host, c *http.Client, url string) patterntest.Ask {
			c.Jar = jars.of(h)
			return entering(c, url)
		})
		s.State = &patterntest.State{Own: true}
		return s
	}
	s := patterntest.Service{
		Serve: func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
			m := &session.Manager{Insecure: true}
			switch kind {
			case SessionDisk:
				store, err := session.OpenDisk(filepath.Join(app.Folder, "sessions"), nil)
				if err != nil {
					return err
				}
				defer store.Close()
				m.Store = store
			case SessionSigned:
				m.Store = &session.Signed{Keys: session.FixedKeys{{Secret: []byte("a secret of thirty-two bytes, ok")}}}
			}
			return serveHTTP(ctx, h, m.Handler(counted(app)))
		},
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			c := httpClient(ctx, h)
			c.Jar = jars.of(h)
			context.AfterFunc(ctx, c.CloseIdleConnections)
			if kind == SessionDisk {
				return entering(c, "http://"+servers[0]+"/")
			}
			return asking(c, "http://"+servers[0]+"/")
		},
		Cancels: true,
	}
	if kind == SessionDisk {
		s.State = &patterntest.State{Own: true}
		s.Bound = 8 * 40 * time.Millisecond // two more transits, for the session
	}
	return s
}

// jars are the cookies of browsers, by the names of hosts. They survive the browsers' processes.
type jars map[string]http.CookieJar

func (j jars) of(h *sim.Host) http.CookieJar {
	if j[h.Name()] == nil {
		j[h.Name()], _ = cookiejar.New(nil)
	}
	return j[h.Name()]
}

// entering asks only once it has a session. Of two requests without a cookie each would get its own session, and only the later session would
// be kept.
func entering(c *http.Client, url string) patterntest.Ask {
	ask, first := asking(c, url), make(chan struct{}, 1)
	at, _ := neturl.Parse(url)
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		select {
		case first <- struct{}{}:
		default:
			select {
			case first <- struct{}{}:
				time.Sleep(time.Microsecond) // the waiting requests continue one after another
			case <-ctx.Done():
				return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, ctx.Err())
			}
		}
		if len(c.Jar.Cookies(at)) == 0 {
			if _, err := ask(ctx, patterntest.Request{Object: enter}); err != nil {
				<-first
				return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
			}
		}
		<-first
		return ask(ctx, r)
	}
}

// enter is the object of a request that only asks for a session.
const enter = "-"

// counted makes the application do the work of a request, and counts the request in the session.
func counted(app *patterntest.App) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch object := strings.TrimPrefix(r.URL.Path, "/"); object {
		case "":
			session.Of(r).Update("calls", func(calls string) string {
				n, _ := strconv.Atoi(calls)
				return strconv.Itoa(n + 1)
			})
			calls{app}.ServeHTTP(w, r)
		case enter:
			session.Of(r).Set(enter, "yes")
		default:
			changed(app, object, w, r)
		}
	})
}

// changed changes an object in the session, or ends the session. A client without a session must first get one. Requests with the cookie of
// an ended session would each otherwise get a new session, with nothing else in it.
func changed(app *patterntest.App, object string, w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	change, err := app.Change(r.Context(), string(data))
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	s := session.Of(r)
	if s.Get(enter) == "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	before := s.Get(object)
	next, answer := change(before)
	switch {
	case next == before:
	case next == "":
		err = s.Logout()
	default:
		s.Update(object, func(old string) string {
			next, answer = change(old)
			return next
		})
		err = s.Commit()
	}
	switch {
	case errors.Is(err, session.ErrEnded):
		w.WriteHeader(http.StatusUnauthorized)
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
	default:
		io.WriteString(w, answer)
	}
}
