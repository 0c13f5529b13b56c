package shortpoll_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/shortpoll"
)

// One poll without news, and one for the state of a job among thousands, over TCP on the
// loopback. The reference is a handler that only writes the status.
func BenchmarkPollWithoutNews(b *testing.B) {
	feed := &shortpoll.Server{Log: memory()}
	jobs := &shortpoll.Jobs{Run: takes(0), Log: memory()}
	handler := jobs.Handler()
	defer jobs.Close()
	for i := range 5000 {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest(http.MethodPut, fmt.Sprintf("/%d", i), nil))
		require.Contains(b, []int{http.StatusAccepted, http.StatusOK}, rec.Code, "a job may be done before its submission is answered")
	}
	for _, c := range []struct {
		name, query string
		handler     http.Handler
	}{
		{"reference", "", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })},
		{"feed", "?cursor=e9-0", feed.Handler()},
		{"jobs", "/4711", handler},
	} {
		b.Run(c.name, func(b *testing.B) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			req, err := http.NewRequest(http.MethodGet, server.URL+c.query, nil)
			require.NoError(b, err)
			req.Header.Set("If-None-Match", `"e9-0"`)
			buf := make([]byte, 1000)
			for b.Loop() {
				resp, err := server.Client().Do(req)
				require.NoError(b, err)
				for err == nil {
					_, err = resp.Body.Read(buf)
				}
				resp.Body.Close()
			}
		})
	}
}
