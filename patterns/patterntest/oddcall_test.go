package patterntest_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// Services that do things otherwise, and keep their promises. stories are those in which that shows; with
// SQUALL_MATRIX they are all.
var oddServices = []struct {
	name    string
	service patterntest.NewService
	stories []string
}{
	{"a connection for each call", office{client: func(c *officeClient) { c.http.Transport.(*http.Transport).DisableKeepAlives = true }}.on,
		[]string{"a quiet day of calls", "calls at a time", "connections go silent", "calls come and go"}},
	{"all that failed is unknown", office{claims: noRetries, asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := c.attempt(ctx, r)
		if err != nil {
			err = said(err, true)
		}
		return answer, err
	}}.on, []string{"the question is lost", "a link that turns away", "the server is gone for ten minutes, amid calls", "a key with other data"}},
	{"who repeats a key that is in use is told to come back", office{keeps: func(d *deskServer, key, data string) (mine, theirs *file) {
		mine, theirs = d.open(key, data)
		if theirs != nil && theirs.Data == data && d.answerTo(theirs) == "" {
			return &file{Data: data, done: make(chan struct{}), busy: true}, nil
		}
		return mine, theirs
	}}.on,
		[]string{"a key that is in use", "a key is given up while it is in use", "a key after the answer was lost"}},
	{"calls with a key are hedged", office{asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		if r.Key == "" {
			return c.ask(ctx, r)
		}
		type result struct {
			answer string
			err    error
		}
		first := make(chan result, 2)
		ask := func(after time.Duration) {
			time.Sleep(after)
			answer, err := c.ask(ctx, r)
			first <- result{answer, err}
		}
		go ask(0)
		go ask(100 * time.Millisecond)
		x := <-first
		return x.answer, x.err
	}, claims: func(s *patterntest.Service) { s.Retries, s.Cancels = nil, false }}.on,
		[]string{"a quiet day of calls", "a key that was used", "a key that is in use", "a key after the answer was lost"}},
	{"a key is known for a minute", office{claims: func(s *patterntest.Service) { s.Keys.Window = time.Minute }, keeps: func(d *deskServer, key, data string) (mine, theirs *file) {
		mine, theirs = d.open(key, data)
		if mine != nil {
			time.AfterFunc(time.Minute+20*time.Second, func() {
				d.mu.Lock()
				defer d.mu.Unlock()
				delete(d.files, key)
			})
		}
		return mine, theirs
	}}.on, []string{"a key that was used", "a key after the answer was lost", "no way for five minutes"}},
	{"every answer comes twice", line{twice: true}.on,
		[]string{"a quiet day of calls", "calls at a time", "patience ends about when the answer comes", "bad links"}},
	{"streams of HTTP/2, with pings", office{protocols: onlyHTTP2(), client: func(c *officeClient) {
		t := c.http.Transport.(*http.Transport)
		t.Protocols, t.HTTP2 = onlyHTTP2(), &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second}
	}, claims: func(s *patterntest.Service) { s.Detects, s.Deadlines = 15*time.Second, false }}.on,
		[]string{"calls at a time", "connections go silent", "answers are cut short", "calls are given up"}},
	{"a proxy in front", behindReverseProxy(true),
		[]string{"a quiet day of calls", "calls at a time", "answers are cut short", "questions are cut short", "calls are given up", "deadlines over three tiers", "a key after the answer was lost",
			"answers come as streams", "streams are cut short", "the caller of a stream is slow", "streams are given up", "a question goes on while it is answered"}},
	{"the client gives up what takes longer than a second", office{claims: func(s *patterntest.Service) { s.Retries, s.Keys = nil, nil }, client: func(c *officeClient) { c.try = time.Second }, asks: tryOnce}.on,
		[]string{"the server is redeployed ten times, amid calls", "the server is redeployed while it works"}},
	{"the client gives up what takes longer than 600 ms, and asks once more", office{claims: func(s *patterntest.Service) { s.Retries, s.Keys = nil, nil }, client: func(c *officeClient) { c.try = 600 * time.Millisecond },
		asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
			answer, err := tryOnce(c, ctx, r)
			if err != nil {
				return tryOnce(c, ctx, r)
			}
			return answer, err
		}}.on, []string{"the server is redeployed ten times, amid calls"}},
	{"the client gives up what takes longer than a second, and the server does it nevertheless", office{claims: func(s *patterntest.Service) {
		forNobody(s)
		s.Retries, s.Keys = nil, nil
	}, client: func(c *officeClient) { c.try = time.Second }, asks: tryOnce, do: heedless}.on,
		[]string{"the server is redeployed ten times, amid calls", "the server is redeployed while it works"}},
	{"a part of a stream takes 20 ms", office{claims: func(s *patterntest.Service) { s.Bound = 2 * time.Second }, streams: func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
		return d.app.Stream(ctx, data, more, writing(func(p []byte) (int, error) {
			time.Sleep(20 * time.Millisecond)
			return into.Write(p)
		}))
	}, takes: func(_ *officeClient, _ context.Context, r patterntest.Request, body io.Reader) error { // in pieces
		_, err := io.CopyBuffer(struct{ io.Writer }{r.Into}, struct{ io.Reader }{body}, make([]byte, 7))
		return err
	}}.on, []string{"answers come as streams", "streams are cut short", "the server ends amid streams", "a question goes on while it is answered", "questions that go on are cut short"}},
}

// behindReverseProxy is an office behind the proxy of the standard library, in a handler that reads and writes at a time, or not.
func behindReverseProxy(fullDuplex bool) patterntest.NewService {
	return office{claims: func(s *patterntest.Service) { s.Drains, s.Streams.Buffer = false, 8<<20 }, front: true, duplex: fullDuplex}.on
}

// What net/http says of EnableFullDuplex: without it the server of HTTP/1 reads what there is of a question away when the answer begins. Behind
// a proxy that has begun to pass it on, nobody was told until Go 1.26: the parts that are missing are in the middle, and the end is that of a
// whole body. With Go 1.27 the answer has no end.
func TestReverseProxyLosesPartsOfAQuestion(t *testing.T) {
	// A part of that story: where one goroutine waits for a lock that another holds while it reads, as here, the network's time has to be moved on by looking at all stacks.
	breaches := judgeCall(t, behindReverseProxy(false), patterntest.CallStory{Play: func(w *patterntest.CallWorld) {
		c := w.Caller("phone")
		w.PromptFor(c)
		c.Ask(patterntest.Question{Said: 20, Every: 100 * time.Millisecond, Parts: 5})
	}}, sim.MayDiffer("the two sides of a proxy race"))
	require.NotEmpty(t, breaches)
	require.Subset(t, []patterntest.Promise{patterntest.Whole, patterntest.Answering}, promises(breaches), "%v", breaches)
}

func TestOddServicesKeepTheContract(t *testing.T) {
	for _, row := range oddServices {
		t.Run(row.name, func(t *testing.T) {
			names := row.stories
			if os.Getenv("SQUALL_MATRIX") != "" {
				names = nil
				for _, s := range patterntest.CallStories() {
					names = append(names, s.Name)
				}
			}
			for _, name := range names {
				require.Empty(t, judgeCall(t, row.service, callStoryNamed(t, name), sim.MayDiffer("streams of HTTP/2 race, and so do the two sides of a proxy")), name)
			}
		})
	}
}

// What is asked again counts when it is, also if its key is used once more much later: twenty retries of sixty calls are within the budget, and that twenty
// of their keys come again behind a restart, which executes them anew, makes no retries of that time of them.
func TestRetriesCountWhenTheyAre(t *testing.T) {
	require.Empty(t, judgeCall(t, office{}.on, patterntest.CallStory{Play: func(w *patterntest.CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		for i := range 20 {
			c.AskEvery(100*time.Millisecond, 2, patterntest.Question{})
			c.AskEvery(100*time.Millisecond, 1, patterntest.Question{Key: fmt.Sprint("order ", i), Refusals: 1})
		}
		w.Sleep(5 * time.Minute)
		w.Server.Restart()
		w.Sleep(time.Second)
		for i := range 20 {
			c.AskEvery(100*time.Millisecond, 1, patterntest.Question{Key: fmt.Sprint("order ", i), Refusals: 1})
		}
	}}))
}

// What the application refuses just before its server is asked to stop is not lost to that.
func TestARefusalIsNoWorkBrokenOff(t *testing.T) {
	require.Empty(t, judgeCall(t, office{claims: noRetries, asks: tryOnce}.on, patterntest.CallStory{Play: func(w *patterntest.CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		c.Ask(patterntest.Question{})
		c.AskEvery(50*time.Millisecond, 1, patterntest.Question{Refusals: 1})
		w.Redeploy()
	}}))
}

// serveBehind serves on a port of the host's own, and on :80 a proxy of the standard library in front of it.
func (d *deskServer) serveBehind(ctx context.Context, h *sim.Host, handler http.Handler) error {
	inner, err := h.Listen("tcp", ":8080")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	go srv.Serve(inner)
	defer srv.Close()
	target := &url.URL{Scheme: "http", Host: h.Name() + ":8080"}
	transport := h.HTTPClient().Transport.(*http.Transport)
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := h.DialContext(ctx, network, address)
		if c, ok := conn.(*sim.TCPConn); ok {
			c.SetReadBuffer(64 << 10) // what it does not read waits at the server
		}
		return conn, err
	}
	defer transport.CloseIdleConnections()
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	return patterntest.ServeHTTP(ctx, h, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.office.duplex {
			http.NewResponseController(w).EnableFullDuplex()
		}
		proxy.ServeHTTP(w, r)
	}))
}
