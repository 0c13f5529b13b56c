// Package webhook makes HTTP callbacks as Standard Webhooks 1.0.0 specifies
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md). A
// [Sender] signs messages and retries them on a schedule of days. A [Receiver] accepts messages
// that are signed and recent, and handles each one once.
//
//	key, err := webhook.ParseKey("whsec_...")
//	receiver := &webhook.Receiver{Keys: webhook.Static(key), Handle: func(ctx context.Context, m webhook.Message) error { ... }}
//	http.Handle("/hooks", receiver.Handler())
//
//	sender := &webhook.Sender{}
//	err = sender.Deliver(ctx, &webhook.Endpoint{URL: "https://example.com/hooks", Keys: webhook.Static(key)}, webhook.Message{ID: "msg_1", Body: body})
//
// # When to use it
//
// Use it between services of different owners, where the receiver serves HTTP and can be down for a
// day. Do not use it for browsers and phones, which nobody can call: they poll, or hold a stream.
// Do not use it where order matters: a message that is retried is overtaken.
//
// # What it promises
//
//   - A receiver handles nothing that is not signed with one of its keys over id, timestamp and
//     body; nothing whose timestamp is more than Tolerance off; and no id a second time while it
//     remembers the id.
//   - Keys can be rotated at any time, even between the attempts of one message: a sender signs
//     with all its keys, and a receiver accepts any of its own.
//   - Only 2xx is success; redirects are not followed. 410 disables the endpoint. 429, 502, 504
//     and a Retry-After throttle all deliveries to it. An attempt takes at most Timeout.
//   - The id is the same in all attempts. The timestamp differs for each attempt.
//
// # What it does not promise
//
// A Receiver remembers ids in memory: after a restart, and beyond MaxIDs, a repetition is handled
// again. If that matters, let Handle add a job to a workqueue.Queue under the id. That is durable,
// and also the way to answer quickly. A Deliver is in memory too. A job whose handler calls
// [Sender.Attempt] and returns a workqueue.Later survives its process. The package does not protect
// internal addresses from endpoints that strangers can name: give [Sender].HTTP a transport that
// refuses them.
//
// # Strictness
//
// Both sides refuse keys with fewer than 24 bytes, so that an unset variable verifies nothing. They
// also refuse ids with a full stop, because one signature would then fit two messages. A timestamp
// is digits only; Go's reference library also accepts a sign.
package webhook
