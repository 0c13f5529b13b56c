package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/async/webhook"
	"github.com/squall-sim/squall/patterns/retry"
)

// answers is an endpoint that answers with these statuses, and notes when it was called.
type answers struct {
	start time.Time
	next  []func(http.ResponseWriter)

	mu    sync.Mutex
	times []time.Duration
	heads []http.Header
}

func status(code int, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.times = append(a.times, time.Since(a.start))
	a.heads = append(a.heads, r.Header)
	n := min(len(a.times), len(a.next))
	a.mu.Unlock()
	if n == 0 {
		<-r.Context().Done() // silence
		return nil, r.Context().Err()
	}
	rec := httptest.NewRecorder()
	a.next[n-1](rec)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

func senderTo(a *answers) (*webhook.Sender, *webhook.Endpoint) {
	a.start = time.Now()
	k, _ := webhook.ParseKey(secret)
	return &webhook.Sender{HTTP: &http.Client{Transport: a}, Jitter: retry.NoJitter}, &webhook.Endpoint{URL: "https://example.com/hooks", Keys: webhook.Static(k)}
}

// The specification's example, to the second: 0, 5 s, 5 min 5 s, ... 75 h 35 min 5 s.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{next: []func(http.ResponseWriter){status(500)}}
		s, e := senderTo(a)
		var delays []time.Duration
		s.OnRetry = func(_ error, d time.Duration) { delays = append(delays, d) }
		err := s.Deliver(t.Context(), e, webhook.Message{ID: "m"})
		require.ErrorIs(t, err, webhook.ErrExhausted)
		require.ErrorContains(t, err, "server answered 500")
		var want []time.Duration
		for _, text := range []string{"0s", "5s", "5m5s", "35m5s", "2h35m5s", "7h35m5s", "17h35m5s", "31h35m5s", "51h35m5s", "75h35m5s"} {
			d, _ := time.ParseDuration(text)
			want = append(want, d)
		}
		require.Equal(t, want, a.times)
		require.Equal(t, webhook.Schedule()[1:], delays)
		require.Equal(t, "m", a.heads[9].Get("Webhook-Id"))
		require.NotEqual(t, a.heads[0].Get("Webhook-Timestamp"), a.heads[1].Get("Webhook-Timestamp"), "that of the attempt")
		require.Equal(t, webhook.SenderStats{Attempts: 10, Exhausted: 1}, s.Stats())
	})
}

func TestAnswers(t *testing.T) {
	const sec = time.Second
	for _, row := range []struct {
		reason string
		first  func(http.ResponseWriter)
		second time.Duration // when the second attempt came; negative: there was none
		want   error
	}{
		{"200 is success", status(200), -1, nil},
		{"299 is", status(299), -1, nil},
		{"300 is not, and not followed", status(302, "Location", "https://example.com/elsewhere"), 5 * sec, nil},
		{"404 may be mended", status(404), 5 * sec, nil},
		{"410 disables", status(410), -1, webhook.ErrGone},
		{"429 throttles, no longer than the schedule", status(429), 5 * sec, nil},
		{"429 with Retry-After", status(429, "Retry-After", "90"), 90 * sec, nil},
		{"503 with Retry-After", status(503, "Retry-After", "90"), 90 * sec, nil},
		{"Retry-After of less than the schedule", status(503, "Retry-After", "1"), 5 * sec, nil},
		{"Retry-After of a year", status(503, "Retry-After", "31536000"), 24 * time.Hour, nil},
		{"204 with Retry-After", status(204, "Retry-After", "90"), -1, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &answers{next: []func(http.ResponseWriter){row.first, status(204)}}
			s, e := senderTo(a)
			err := s.Deliver(t.Context(), e, webhook.Message{ID: "m"})
			require.ErrorIs(t, err, row.want, row.reason)
			if row.second < 0 {
				require.Len(t, a.times, 1, row.reason)
			} else {
				require.Equal(t, []time.Duration{0, row.second}, a.times, row.reason)
			}
		})
	}
}

// An endpoint that is overloaded, or gone, is so for all messages.
func TestEndpointIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{next: []func(http.ResponseWriter){status(504), status(204), status(204), status(410)}}
		s, e := senderTo(a)
		s.Throttle = time.Minute
		var all sync.WaitGroup
		all.Go(func() { require.NoError(t, s.Deliver(t.Context(), e, webhook.Message{ID: "a"})) })
		time.Sleep(time.Second)
		after, err := s.Attempt(t.Context(), e, webhook.Message{ID: "b"}, 1)
		require.ErrorContains(t, err, "throttled")
		require.Equal(t, 59*time.Second, after)
		all.Go(func() { require.NoError(t, s.Deliver(t.Context(), e, webhook.Message{ID: "b"})) })
		all.Wait()
		require.Equal(t, []time.Duration{0, time.Minute, time.Minute}, a.times)
		require.ErrorIs(t, s.Deliver(t.Context(), e, webhook.Message{ID: "c"}), webhook.ErrGone)
		require.ErrorIs(t, s.Deliver(t.Context(), e, webhook.Message{ID: "d"}), webhook.ErrGone)
		require.Len(t, a.times, 4)
		require.True(t, e.Disabled())
		e.Enable()
		after, err = s.Attempt(t.Context(), e, webhook.Message{ID: "d"}, 1)
		require.ErrorIs(t, err, webhook.ErrGone)
		require.Negative(t, after)
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{}
		s, e := senderTo(a)
		s.Schedule = []time.Duration{time.Second, 2 * time.Second}
		err := s.Deliver(t.Context(), e, webhook.Message{ID: "m"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, webhook.ErrExhausted)
		require.Equal(t, []time.Duration{time.Second, (1 + 20 + 2) * time.Second}, a.times)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.Equal(t, context.DeadlineExceeded, s.Deliver(ctx, e, webhook.Message{ID: "m"}), "the caller's own")
	})
}

// post sends a message to a receiver as its sender would.
func post(t *testing.T, r http.Handler, m webhook.Message, keys ...webhook.Key) *httptest.ResponseRecorder {
	t.Helper()
	if m.Time.IsZero() {
		m.Time = time.Now()
	}
	h, err := webhook.Sign(m, keys)
	require.NoError(t, err)
	req := httptest.NewRequest("POST", "http://receiver/hooks", strings.NewReader(string(m.Body)))
	req.Header = h
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

func TestReceiverHandlesEachMessageOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := key(t, secret)
		got := map[string]int{}
		r := &webhook.Receiver{Keys: webhook.Static(k), MaxIDs: 3, MaxMessageBytes: 10, Handle: func(_ context.Context, m webhook.Message) error {
			got[m.ID]++
			switch {
			case m.ID == "slow":
				time.Sleep(10 * time.Second)
			case m.ID == "panics" && got[m.ID] == 1:
				panic("oh")
			case m.ID == "busy" && got[m.ID] == 1:
				return &retry.StatusError{Status: 429, Text: "later"}
			case m.ID == "odd" && got[m.ID] == 1:
				return errors.Join(errors.New("secret"), &retry.StatusError{Status: 200})
			}
			return nil
		}}
		h := r.Handler()
		require.Equal(t, 204, post(t, h, webhook.Message{ID: "a"}, k).Code)
		require.Equal(t, 204, post(t, h, webhook.Message{ID: "a"}, k).Code)
		for id, code := range map[string]int{"panics": 500, "busy": 429, "odd": 500} {
			w := post(t, h, webhook.Message{ID: id}, k)
			require.Equal(t, code, w.Code)
			require.NotContains(t, w.Body.String(), "secret")
		}
		require.Equal(t, 204, post(t, h, webhook.Message{ID: "panics"}, k).Code, "what failed is handled again")
		done := make(chan int)
		go func() { done <- post(t, h, webhook.Message{ID: "slow"}, k).Code }()
		time.Sleep(time.Second)
		w := post(t, h, webhook.Message{ID: "slow"}, k)
		require.Equal(t, 409, w.Code, "nobody knows yet how it ends")
		require.Equal(t, "1", w.Header().Get("Retry-After"))
		require.Equal(t, 204, <-done)
		require.Equal(t, 204, post(t, h, webhook.Message{ID: "slow"}, k).Code)
		require.Equal(t, map[string]int{"a": 1, "panics": 2, "busy": 1, "odd": 1, "slow": 1}, got)

		post(t, h, webhook.Message{ID: "b"}, k)
		post(t, h, webhook.Message{ID: "a"}, k)
		require.Equal(t, 2, got["a"], "there is room for three")
		time.Sleep(5 * 24 * time.Hour)
		post(t, h, webhook.Message{ID: "b"}, k)
		require.Equal(t, 2, got["b"], "five days have passed")
		require.Equal(t, 413, post(t, h, webhook.Message{ID: "c", Body: make([]byte, 11)}, k).Code)
		require.Equal(t, 401, post(t, h, webhook.Message{ID: "c"}, key(t, webhook.NewSecret())).Code)
		require.Equal(t, 400, post(t, h, webhook.Message{ID: "c", Time: time.Now().Add(-time.Hour)}, k).Code)
		req := httptest.NewRecorder()
		h.ServeHTTP(req, httptest.NewRequest("GET", "http://receiver/hooks", nil))
		require.Equal(t, 405, req.Code)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "http://receiver/hooks", nil))
		require.Equal(t, webhook.ReceiverStats{Handled: 6, Duplicates: 3, Failed: 3, Stale: 1, Unsigned: 1, Malformed: 1, Forgotten: 2}, r.Stats())
	})
}

// What is being handled is not forgotten, however many others come meanwhile.
func TestReceiverKnowsWhatItHandles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := key(t, secret)
		r := &webhook.Receiver{Keys: webhook.Static(k), MaxIDs: 2, Handle: func(_ context.Context, m webhook.Message) error {
			if m.ID == "slow" {
				time.Sleep(time.Minute)
			}
			return nil
		}}
		h := r.Handler()
		done := make(chan int)
		go func() { done <- post(t, h, webhook.Message{ID: "slow"}, k).Code }()
		time.Sleep(1)
		for _, id := range []string{"a", "b", "c"} {
			require.Equal(t, 204, post(t, h, webhook.Message{ID: id}, k).Code)
		}
		require.Equal(t, 409, post(t, h, webhook.Message{ID: "slow"}, k).Code)
		require.Equal(t, 204, <-done)
	})
}

func TestCheck(t *testing.T) {
	err := (&webhook.Receiver{Tolerance: -1, MaxIDs: -1, MaxMessageBytes: -1, Remember: -1}).Check()
	for _, want := range []string{"Receiver.Keys is nil", "Receiver.Handle is nil", "Tolerance is -1ns", "MaxIDs is -1", "MaxMessageBytes is -1", "Remember is -1ns"} {
		require.ErrorContains(t, err, want)
	}
	require.Panics(t, func() { (&webhook.Receiver{}).Handler() })
	err = (&webhook.Sender{Schedule: []time.Duration{0, -1}, Timeout: -1, Throttle: -1, RetryAfterMax: -1}).Check()
	for _, want := range []string{"Sender.Schedule[1] is -1ns", "Timeout is -1ns", "Throttle is -1ns", "RetryAfterMax is -1ns"} {
		require.ErrorContains(t, err, want)
	}
	require.ErrorContains(t, (&webhook.Sender{Schedule: []time.Duration{}}).Check(), "Schedule has no attempts")
	k := key(t, secret)
	s := &webhook.Sender{}
	for want, f := range map[string]func() error{
		`webhook: Endpoint.URL is "example.com"`: func() error {
			return s.Deliver(t.Context(), &webhook.Endpoint{URL: "example.com", Keys: webhook.Static(k)}, webhook.Message{ID: "a"})
		},
		"webhook: Endpoint.Keys is nil": func() error {
			return s.Deliver(t.Context(), &webhook.Endpoint{URL: "http://e/"}, webhook.Message{ID: "a"})
		},
		`webhook: id "a.b"`: func() error {
			return s.Deliver(t.Context(), &webhook.Endpoint{URL: "http://e/", Keys: webhook.Static(k)}, webhook.Message{ID: "a.b"})
		},
		"webhook: attempt 0: want 1 or more": func() error {
			_, err := s.Attempt(t.Context(), &webhook.Endpoint{URL: "http://e/", Keys: webhook.Static(k)}, webhook.Message{ID: "a"}, 0)
			return err
		},
	} {
		require.ErrorContains(t, f(), want)
	}
}
