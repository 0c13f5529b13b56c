package workqueue_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/squall-sim/squall/patterns/async/workqueue"
)

// A service accepts work, and a worker elsewhere does it.
func Example() {
	queue := &workqueue.Queue{} // with a Path it survives its process
	defer queue.Close()
	server := httptest.NewServer(queue.Handler())
	defer server.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := &workqueue.Client{URL: server.URL, HTTP: server.Client()}
	job, err := client.Add(ctx, workqueue.Job{ID: "report-2026-11", Payload: []byte("all quiet")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.State)

	worker := &workqueue.Worker{Source: client}
	worker.Run(ctx, func(_ context.Context, t workqueue.Task) ([]byte, error) {
		defer cancel() // one job is enough for an example
		return []byte(strings.ToUpper(string(t.Payload))), nil
	})

	job, err = queue.Get(context.Background(), "report-2026-11")
	fmt.Println(job.State, string(job.Result), err)

	// Output:
	// pending
	// done ALL QUIET <nil>
}
