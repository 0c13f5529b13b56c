package stream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// A streamee is a client of a stream and what it got.
type streamee struct {
	*stream.Client
	host *sim.Host
	link *sim.Link
	net  *sim.Network

	mu     sync.Mutex
	data   []string
	at     string // the position
	moves  []time.Duration
	gaps   []stream.Reset
	errs   []error
	failed []time.Duration
	delays []time.Duration
	end    error
}

// receive runs a client on a host of that name.
func receive(n *sim.Network, name string, c *stream.Client) *streamee {
	h := n.Host(name)
	r := &streamee{Client: c, host: h, net: n}
	if c.URL == "" {
		c.URL = "http://server/"
	}
	if c.HTTP == nil {
		c.HTTP = h.HTTPClient()
	}
	if c.Jitter == nil {
		c.Jitter = retry.NoJitter
	}
	target, _ := url.Parse(c.URL)
	r.link = n.Link(h, n.Host(target.Hostname()), scenario.Good)
	r.run()
	return r
}

// run starts the client in a process of its host.
func (r *streamee) run() {
	locked := func(f func()) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		f()
		return nil
	}
	c := r.Client
	c.OnReset = func(_ context.Context, reset stream.Reset) error {
		return locked(func() { r.gaps, r.at = append(r.gaps, reset), reset.ID })
	}
	c.OnPosition = func(id string) {
		locked(func() { r.moves, r.at = append(r.moves, r.net.Elapsed()), id })
	}
	c.OnRetry = func(err error, delay time.Duration) {
		locked(func() {
			r.errs, r.delays = append(r.errs, err), append(r.delays, delay)
			r.failed = append(r.failed, r.net.Elapsed())
		})
	}
	r.host.Run("stream", func(ctx context.Context, _ *sim.Host) error {
		err := c.Run(ctx, func(_ context.Context, e stream.Event) error {
			return locked(func() { r.data, r.at = append(r.data, e.Data), e.ID })
		})
		return locked(func() { r.end = err })
	})
}

func (r *streamee) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.data)
}

// take is got, and forgets it.
func (r *streamee) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	data := r.data
	r.data = nil
	return data
}

func (r *streamee) id() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *streamee) resets() []stream.Reset {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.gaps)
}

// positions are the instants at which the stream told a position without an event, as
// it does when it begins.
func (r *streamee) positions() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.moves)
}

// causes are why connections ended or were not made.
func (r *streamee) causes() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.errs)
}

func (r *streamee) failures() (all []string) {
	for _, err := range r.causes() {
		all = append(all, err.Error())
	}
	return all
}

// failedAt are the instants at which they did.
func (r *streamee) failedAt() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failed)
}

func (r *streamee) waits() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.delays)
}

// ended is what its Run returned.
func (r *streamee) ended() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end
}

// A browser is an EventSource by WHATWG HTML, section 9.2.3: an answer with another status
// than 200 ends it for good, and so does another content type. When a stream ends, and
// when there is no connection, it asks again after its reconnection time.
type browser struct {
	host *sim.Host
	mu   sync.Mutex
	data []string
	end  error
}

// browse opens an EventSource on a host of that name.
func browse(n *sim.Network, name string) *browser {
	b := &browser{host: n.Host(name)}
	n.Link(b.host, n.Host("server"), scenario.Good)
	b.host.Run("browser", func(ctx context.Context, h *sim.Host) error {
		id, retry := "", 3*time.Second
		for ctx.Err() == nil {
			if err := b.open(ctx, h.HTTPClient(), &id, &retry); err != nil {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.end = err
				return nil
			}
			select {
			case <-time.After(retry):
			case <-ctx.Done():
			}
		}
		return nil
	})
	return b
}

// open receives one stream. It fails if the EventSource does.
func (b *browser) open(ctx context.Context, c *http.Client, id *string, retry *time.Duration) error {
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	if *id != "" {
		req.Header.Set("Last-Event-ID", *id)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	if t := resp.Header.Get("Content-Type"); t != "text/event-stream" {
		return errors.New(t)
	}
	d := stream.Decoder{LastID: *id}
	for e, err := range d.Events(resp.Body) {
		if err != nil {
			break
		}
		b.mu.Lock()
		b.data = append(b.data, e.Data)
		b.mu.Unlock()
	}
	*id = d.LastID
	if told, ok := d.Retry(); ok {
		*retry = told
	}
	return nil
}

func (b *browser) got() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.data)
}

// over is why the EventSource has failed for good.
func (b *browser) over() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end
}

// deployed has a hundred browsers at a server, which is drained after a minute and refuses
// them for ten seconds. Then another one takes its place, with what was published in between.
func deployed(t *testing.T, n *sim.Network, first *stream.Server) (second *stream.Server, all []*browser) {
	site := n.Host("server").ServeHTTP(":80", newStream(first).Handler())
	for i := range 100 {
		all = append(all, browse(n, fmt.Sprint("browser", i)))
	}
	publishTo(first, "e1")
	time.Sleep(time.Minute)
	require.NoError(t, first.Drain(t.Context()))
	time.Sleep(5 * time.Second)
	_, err := first.Log.Append(t.Context(), eventlog.Entry{Topic: "news", Data: []byte("e2")}) // by another server of the log
	require.NoError(t, err)
	time.Sleep(5 * time.Second)
	require.NoError(t, site.Shutdown(t.Context()))
	second = &stream.Server{Log: first.Log}
	serveStream(n, second)
	time.Sleep(30 * time.Second)
	return second, all
}

func newStream(srv *stream.Server) *stream.Server {
	if srv.Log == nil {
		srv.Log = eventlog.NewMemory(eventlog.Options{})
	}
	if srv.Jitter == nil { // each stream is sent a reconnection time of its own
		srv.Jitter = retry.Seeded(1)
	}
	return srv
}

func serveStream(n *sim.Network, srv *stream.Server) *stream.Server {
	n.Host("server").ServeHTTP(":80", newStream(srv).Handler())
	return srv
}

// serveBy serves with settings that Host.ServeHTTP does not have.
func serveBy(n *sim.Network, srv *http.Server) {
	n.Host("server").Run("http", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { srv.Close() })()
		if err := srv.Serve(l); ctx.Err() == nil {
			return err
		}
		return nil
	})
}

func publishTo(srv *stream.Server, data ...string) {
	for i, d := range data {
		if i > 0 {
			time.Sleep(1) // how many events of one instant are written at once is the runtime's choice
		}
		srv.Publish(context.Background(), "news", []byte(d))
	}
}

// A streamScript answers one request after the other, the last answer for ever, and
// notes their positions.
type streamScript struct {
	answers []http.HandlerFunc
	mu      sync.Mutex
	asked   []string
}

func scripted(n *sim.Network, answers ...http.HandlerFunc) *streamScript {
	s := &streamScript{answers: answers}
	n.Host("server").ServeHTTP(":80", s)
	return s
}

func (s *streamScript) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Header.Get("Last-Event-ID"))
	answer := s.answers[slices.Min([]int{len(s.asked), len(s.answers)})-1]
	s.mu.Unlock()
	answer(w, r)
}

// ids are the positions of the requests so far.
func (s *streamScript) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// says answers with a stream of the text, which ends.
func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, text)
	}
}

// hangs answers with the text, and no end.
func hangs(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		says(text)(w, r)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// bytesOf makes a story in which the packets carry the given bytes each, and the
// client is to get the given events.
func bytesOf(packets ...string) func(want ...string) func(*testing.T, *sim.Network) {
	return func(want ...string) func(*testing.T, *sim.Network) {
		return func(t *testing.T, n *sim.Network) {
			scripted(n, func(w http.ResponseWriter, r *http.Request) {
				says("")(w, r)
				for _, p := range packets {
					io.WriteString(w, p)
					http.NewResponseController(w).Flush()
					time.Sleep(100 * time.Millisecond)
				}
				<-r.Context().Done()
			})
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(10 * time.Second)
			require.Equal(t, want, c.got())
			require.Empty(t, c.failures())
		}
	}
}

// answered makes a story of one answer, after which the client asks as often as given
// and Run ends with an error of that text, if any; the answer after it is a stream.
func answered(status, asks int, text string) func(*testing.T, *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		site := scripted(n, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }, hangs("data: a\n\n"))
		c := receive(n, "phone", &stream.Client{})
		time.Sleep(40 * time.Second)
		require.Len(t, site.ids(), asks)
		if text == "" {
			require.NoError(t, c.ended())
		} else {
			require.EqualError(t, c.ended(), text)
		}
		require.Len(t, c.got(), asks-1)
	}
}

// redirected makes a story of a redirect to another host.
func redirected(status int) func(*testing.T, *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		srv := newStream(&stream.Server{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})})
		publishTo(srv, "e1", "e2")
		n.Host("other").ServeHTTP(":80", srv.Handler())
		scripted(n, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://other/", status) })
		c := receive(n, "phone", &stream.Client{LastEventID: "7-1"})
		n.Link(c.host, n.Host("other"), scenario.Good)
		time.Sleep(time.Second)
		require.Equal(t, []string{"e2"}, c.got())
		require.Empty(t, c.resets())
	}
}
