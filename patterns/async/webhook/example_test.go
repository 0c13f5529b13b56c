package webhook_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/squall-sim/squall/patterns/async/webhook"
)

// Two services share a secret; one calls the other back.
func Example() {
	key, err := webhook.ParseKey(webhook.NewSecret())
	if err != nil {
		fmt.Println(err)
		return
	}
	receiver := &webhook.Receiver{Keys: webhook.Static(key), Handle: func(_ context.Context, m webhook.Message) error {
		fmt.Println(m.ID, string(m.Body))
		return nil
	}}
	server := httptest.NewServer(receiver.Handler())
	defer server.Close()

	sender := &webhook.Sender{HTTP: server.Client()}
	endpoint := &webhook.Endpoint{URL: server.URL, Keys: webhook.Static(key)}
	err = sender.Deliver(context.Background(), endpoint, webhook.Message{ID: "msg_1", Body: []byte(`{"type":"report.ready"}`)})
	fmt.Println(err)

	// Output:
	// msg_1 {"type":"report.ready"}
	// <nil>
}
