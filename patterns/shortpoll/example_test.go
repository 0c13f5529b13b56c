package shortpoll_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/shortpoll"
)

// A client submits work that takes longer than a request should, and polls for the result.
func ExampleJobs() {
	jobs := &shortpoll.Jobs{Run: func(_ context.Context, task shortpoll.Task) ([]byte, error) {
		return []byte(strings.ToUpper(string(task.Payload))), nil
	}}
	server := httptest.NewServer(jobs.Handler())
	defer server.Close()
	defer jobs.Close()

	client := &shortpoll.Client{URL: server.URL, HTTP: server.Client(), Interval: 10 * time.Millisecond}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	job, err := client.Submit(ctx, "report-2026-11", []byte("all quiet"))
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err = client.Wait(ctx, shortpoll.Job{ID: job.ID}) // the id is enough, even from another client
	fmt.Println(job.State, string(job.Result), err)

	// Output:
	// done ALL QUIET <nil>
}

// A service publishes, a client polls at intervals.
func ExampleServer() {
	feed := &shortpoll.Server{}
	server := httptest.NewServer(feed.Handler())
	defer server.Close()

	feed.Publish(context.Background(), "greetings", []byte("hello"))
	feed.Publish(context.Background(), "other", []byte("not for us"))
	feed.Publish(context.Background(), "greetings", []byte("bye"))

	client := &shortpoll.Client{URL: server.URL, HTTP: server.Client(), Interval: 10 * time.Millisecond}
	bye := errors.New("bye")
	client.Topics = []string{"greetings"}
	err := client.Run(context.Background(), func(_ context.Context, b shortpoll.Batch) error {
		if b.Reset != "" {
			fmt.Println("events may be missing:", b.Reset)
		}
		for _, e := range b.Events {
			fmt.Printf("%d %s\n", e.Offset, e.Data)
			if string(e.Data) == "bye" {
				return bye
			}
		}
		return nil // handled: the next poll starts from b.Cursor
	})
	fmt.Println(err)

	// Output:
	// 1 hello
	// 3 bye
	// bye
}
