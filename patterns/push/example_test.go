package push_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
)

// A phone gets messages as they are published. When it is switched on again, it gets those
// published while it was off.
func Example() {
	log := eventlog.NewMemory(eventlog.Options{})
	defer log.Close()
	server := &push.Server{Log: log}
	defer server.Close()
	web := httptest.NewServer(server.Handler())
	defer web.Close()

	events := make(chan string)
	phone := push.Client{
		URL: web.URL,
		ID:  "phone",
		OnReset: func(_ context.Context, r push.Reset) error {
			events <- "start: " + string(r.Reason)
			return nil
		},
	}
	handle := func(_ context.Context, e push.Event) error {
		events <- "event: " + string(e.Data)
		return nil
	}
	send := func(text string) {
		server.Publish(context.Background(), push.Message{
			Topic: push.Mailbox("phone"), TTL: time.Hour, Data: []byte(text),
		})
	}
	ctx, off := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- phone.Run(ctx, handle) }()
	fmt.Println(<-events)
	send("one")
	fmt.Println(<-events)
	off()
	fmt.Println(<-done)

	send("two")
	send("three")
	ctx, off = context.WithCancel(context.Background())
	go func() { done <- phone.Run(ctx, handle) }()
	fmt.Println(<-events)
	fmt.Println(<-events)
	off()
	<-done

	// Output:
	// start: new
	// event: one
	// context canceled
	// event: two
	// event: three
}
