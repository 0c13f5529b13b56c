package systems

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"path/filepath"
	"strconv"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/session"
	"github.com/squall-sim/squall/sim"
)

// A SessionKind is where sessions are kept.
type SessionKind string

// The kinds.
const (
	SessionMemory SessionKind = "memory"
	SessionDisk   SessionKind = "disk"
	SessionSigned SessionKind = "signed"
)

// Session is a web application that counts in each client's session what it has asked, and its clients, with cookies.
func Session(kind SessionKind) patterntest.Service {
	return patterntest.Service{
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
			return patterntest.ServeHTTP(ctx, h, m.Handler(counted(app)))
		},
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			c := h.HTTPClient()
			c.Jar, _ = cookiejar.New(nil)
			context.AfterFunc(ctx, c.CloseIdleConnections)
			return asking(c, "http://"+servers[0]+"/")
		},
		Cancels: true,
	}
}

// counted has the application do what is asked, and counts it in the session.
func counted(app *patterntest.App) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session.Of(r).Update("calls", func(calls string) string {
			n, _ := strconv.Atoi(calls)
			return strconv.Itoa(n + 1)
		})
		calls{app}.ServeHTTP(w, r)
	})
}
