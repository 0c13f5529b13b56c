package session_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strconv"

	"github.com/squall-sim/squall/patterns/session"
)

// A counter for each client, in the memory of one process. Over HTTPS, leave Insecure unset.
func Example() {
	sessions := &session.Manager{Insecure: true}
	server := httptest.NewServer(sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := session.Of(r)
		s.Update("visits", func(visits string) string {
			n, _ := strconv.Atoi(visits)
			return strconv.Itoa(n + 1)
		})
		fmt.Fprintf(w, "visit %s", s.Get("visits"))
	})))
	defer server.Close()

	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	for range 2 {
		resp, err := browser.Get(server.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(string(text))
	}
	// Output:
	// visit 1
	// visit 2
}
