package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// A callLibrary is a library of others in stories of the contract of calls.
type callLibrary struct {
	name    string
	service patterntest.NewService
	breaks  []callConviction
	keeps   []string // stories
	draws   bool     // it draws from the global source, so that two runs may differ
}

// A callConviction is a story in which a library breaks promises, and why.
type callConviction struct {
	story    string
	promises promises // all that are broken
	why      string
}

// Stories that all of them keep their promises in.
var steadyCalls = []string{"a quiet day of calls", "calls at a time", "ten callers at a time"}

const (
	breaksOnAnswer     = "the connection breaks on the answer"
	longerThanPatience = "a call longer than anybody's patience"
	refusedAll         = "everything is refused for a minute"
	refusedAlone       = "one caller alone is refused"
	refusedUntil       = "a refusal that says until when"
	hangs              = "the server comes back and hangs for two minutes"
	inStep             = "twenty callers lose the server at one instant"
	lostQuestion       = "the question is lost"
	goneAwhile         = "the server is gone for ten minutes, amid calls"
)

// The contract of calls, and libraries of others in its stories: what each breaks, which promise that is and no other, and
// what it keeps. The README says which of it they promised.
func TestLibrariesThatCall(t *testing.T) {
	stories := map[string]patterntest.CallStory{}
	for _, s := range patterntest.CallStories() {
		stories[s.Name] = s
	}
	for _, lib := range slices.Concat(breakers, retriers, sessionStores) {
		t.Run(strings.ReplaceAll(lib.name, "/", "_"), func(t *testing.T) {
			expect := func(story, why string, all promises) {
				s, known := stories[story]
				require.True(t, known, "the contract has no story %q", story)
				var opts []sim.Option
				if lib.draws {
					opts = append(opts, sim.MayDiffer("the library draws its delays from the global source"))
				}
				t.Run(story, func(t *testing.T) {
					sim.Test(t, func(t *testing.T, n *sim.Network) {
						service := lib.service(n)
						require.True(t, s.Needs == nil || s.Needs(service), "the story is about what the service does not offer")
						breaches := patterntest.JudgeCall(n, service, t.TempDir(), s)
						require.Equal(t, all, broken(breaches), "%s\n%v", why, breaches)
					}, opts...)
				})
			}
			for _, c := range lib.breaks {
				expect(c.story, c.why, c.promises)
			}
			for _, s := range slices.Concat(steadyCalls, lib.keeps) {
				expect(s, "it keeps all promises", nil)
			}
		})
	}
}

// A web is what a client of plain net/http needs to ask a server.
type web struct {
	life context.Context // of the client's process
	http *http.Client
	url  string
}

// calling is a service of plain net/http whose client asks by way of a library. retries says what is to be expected of its retries; nil: nothing is.
func calling(retries *patterntest.Retries, client func(c web) patterntest.Ask) patterntest.NewService {
	return func(*sim.Network) patterntest.Service {
		return patterntest.Service{
			Serve: func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
				return patterntest.ServeHTTP(ctx, h, answers{app})
			},
			Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
				c := h.HTTPClient()
				context.AfterFunc(ctx, c.CloseIdleConnections)
				return client(web{ctx, c, "http://" + servers[0] + "/"})
			},
			Retries: retries,
		}
	}
}

// answers has the application do what is asked.
type answers struct{ app *patterntest.App }

func (s answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var refusal *patterntest.Refusal
	switch answer, err := s.app.Do(r.Context(), string(data)); {
	case errors.As(err, &refusal):
		if refusal.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(refusal.RetryAfter/time.Second)))
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
	default:
		io.WriteString(w, answer)
	}
}

// request is what is sent of a question.
func (c web) request(ctx context.Context, r patterntest.Request) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(r.Data))
}

// post sends a question, once.
func (c web) post(ctx context.Context, r patterntest.Request) (string, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return "", err
	}
	return read(c.http.Do(req))
}

// errRefused is wrapped by the error of an answer with the status 503.
var errRefused = errors.New("refused")

// read takes an answer.
func read(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable:
		return "", errRefused
	case resp.StatusCode != http.StatusOK:
		return "", errors.New(resp.Status)
	}
	return string(answer), err
}

// unsent says whether no server was asked.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// notExecuted marks an error.
func notExecuted(err error) error { return fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err) }

// beside runs f, and returns when that has or ctx is done. f then runs on.
func beside(ctx context.Context, f func() (string, error)) (answer string, err error) {
	ended := make(chan struct{})
	var a string
	var failed error
	go func() {
		defer close(ended)
		a, failed = f()
	}()
	select {
	case <-ended:
		return a, failed
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
