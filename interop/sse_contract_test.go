package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
)

// LaunchDarkly's sse-contract-tests check any client of Server-Sent Events from outside: a program
// that asks a service to open streams, of which it is the server, and to report what comes. It is no
// dependency, and runs over the operating system's own network: SQUALL_SSE_CONTRACT names its executable
// (github.com/launchdarkly/sse-contract-tests). The same cases on the simulated clock are in
// patterns/stream: TestContract.
//
// Of what the program can check beyond the standard three features are not claimed: comments are not
// handed over, and requests are GET, neither POST nor REPORT.
func TestSSEContract(t *testing.T) {
	program := os.Getenv("SQUALL_SSE_CONTRACT")
	if program == "" {
		t.Skip("takes half a minute of real time; SQUALL_SSE_CONTRACT is the path of sse-contract-tests")
	}
	service := &contractService{streams: map[string]*contractStream{}}
	site := httptest.NewServer(service)
	defer site.Close()
	defer service.closeAll()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "-url", site.URL).CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
}

// contractService is what the program calls a test service, as its documentation specifies it.
type contractService struct {
	mu      sync.Mutex
	next    int
	streams map[string]*contractStream
}

func (s *contractService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.streams[r.URL.Path]
	switch {
	case r.URL.Path == "/" && r.Method == http.MethodGet:
		json.NewEncoder(w).Encode(map[string]any{"capabilities": []string{
			"bom", "headers", "last-event-id", "read-timeout", "restart", "server-directed-shutdown-request"}})
	case r.URL.Path == "/" && r.Method == http.MethodPost:
		c := &contractStream{}
		if err := json.NewDecoder(r.Body).Decode(&c.params); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.next++
		path := fmt.Sprint("/streams/", s.next)
		s.streams[path] = c
		c.id = c.params.LastEventID
		c.start()
		w.Header().Set("Location", path)
		w.WriteHeader(http.StatusCreated)
	case open == nil:
		http.NotFound(w, r)
	case r.Method == http.MethodDelete:
		open.stop()
		delete(s.streams, r.URL.Path)
	case r.Method == http.MethodPost: // the only command is to restart
		open.stop()
		open.start()
	}
}

func (s *contractService) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.streams {
		c.stop()
	}
}

// A contractStream is a client that reports to the program.
type contractStream struct {
	params struct {
		StreamURL      string            `json:"streamUrl"`
		CallbackURL    string            `json:"callbackUrl"`
		LastEventID    string            `json:"lastEventId"`
		Headers        map[string]string `json:"headers"`
		InitialDelayMS *int64            `json:"initialDelayMs"`
		ReadTimeoutMS  int64             `json:"readTimeoutMs"`
	}
	stop    func()
	id      string
	reports int
}

// start runs the client from where it stood.
func (c *contractStream) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	c.stop = func() { cancel(); <-done }
	client := &stream.Client{
		URL: c.params.StreamURL, LastEventID: c.id, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Header: func(context.Context) (http.Header, error) {
			h := http.Header{}
			for name, value := range c.params.Headers {
				h.Set(name, value)
			}
			return h, nil
		},
		OnRetry: func(err error, _ time.Duration) {
			if !errors.Is(err, stream.ErrEnded) {
				c.report(map[string]any{"kind": "error", "error": err.Error()})
			}
		},
	}
	if ms := c.params.InitialDelayMS; ms != nil {
		d := time.Duration(max(*ms, 1)) * time.Millisecond
		client.Backoff = retry.Backoff{Min: d, Base: d}
	}
	if ms := c.params.ReadTimeoutMS; ms > 0 {
		client.Heartbeat, client.Misses = time.Duration(ms)*time.Millisecond, 1
	}
	go func() {
		defer close(done)
		err := client.Run(ctx, func(_ context.Context, e stream.Event) error {
			c.id = e.ID
			c.report(map[string]any{"kind": "event", "event": map[string]string{"type": e.Type, "data": e.Data, "id": e.ID}})
			return nil
		})
		if err != nil && ctx.Err() == nil {
			c.report(map[string]any{"kind": "error", "error": err.Error()})
		}
	}()
}

func (c *contractStream) report(message map[string]any) {
	c.reports++
	body, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	resp, err := http.Post(fmt.Sprint(strings.TrimSuffix(c.params.CallbackURL, "/"), "/", c.reports), "application/json", bytes.NewReader(body))
	if err == nil {
		resp.Body.Close()
	}
}
