package systems

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"path/filepath"
	"strconv"
	"strings"
	"time"

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
			return askWithCookies(c, "http://"+servers[0]+"/")
		},
		Cancels: true,
	}
}

// counted has the application do what is asked, and counts it in the session.
func counted(app *patterntest.App) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		question, err := io.ReadAll(r.Body) // to its end, since net/http does not notice before that a client goes
		if err != nil {
			return
		}
		var refusal *patterntest.Refusal
		switch answer, err := app.Do(r.Context(), string(question)); {
		case errors.As(err, &refusal):
			w.Header().Set("Retry-After", strconv.Itoa(int(refusal.RetryAfter/time.Second)))
			w.WriteHeader(http.StatusServiceUnavailable)
		case err != nil:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			session.Of(r).Update("calls", func(calls string) string {
				n, _ := strconv.Atoi(calls)
				return strconv.Itoa(n + 1)
			})
			io.WriteString(w, answer)
		}
	})
}

func askWithCookies(c *http.Client, url string) patterntest.Ask {
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(r.Data))
		if err != nil {
			return "", err
		}
		resp, err := c.Do(req)
		if op := new(net.OpError); errors.As(err, &op) && op.Op == "dial" {
			return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
		} else if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		switch {
		case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "": // the session was not loaded, or the application refuses
			return "", fmt.Errorf("%w: %s", patterntest.ErrNotExecuted, resp.Status)
		case resp.StatusCode != http.StatusOK:
			return "", errors.New(resp.Status)
		}
		return string(answer), err
	}
}
