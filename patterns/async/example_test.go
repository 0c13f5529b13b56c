package async_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/async"
	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/shortpoll"
)

// A caller starts an operation, does other work, and gets the result when it is ready.
func Example() {
	server := &async.Server{Run: func(_ context.Context, t workqueue.Task) ([]byte, error) {
		return []byte(strings.ToUpper(string(t.Payload))), nil
	}}
	defer server.Close()
	web := httptest.NewServer(server.Handler())
	defer web.Close()

	client := &async.Client{Polls: &shortpoll.Client{URL: web.URL, HTTP: web.Client(), Interval: 10 * time.Millisecond}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	report := client.Start(ctx, "report-2026-11", []byte("all quiet"))
	fmt.Println("other work")
	text, err := report.Wait(ctx)
	fmt.Println(string(text), err)

	// Output:
	// other work
	// ALL QUIET <nil>
}
