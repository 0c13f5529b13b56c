// Package webhook calls back over HTTP as Standard Webhooks 1.0.0 specifies
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md): a
// [Sender] signs messages and repeats them on a schedule of days, a [Receiver] believes what is signed
// and fresh, and handles each message once.
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
// Between services of different owners, where the one that is called back serves HTTP and may be down
// for a day. Not for browsers and phones, which nobody can call: they poll, or hold a stream. Not
// where order matters: a message that is repeated is overtaken.
//
// # What it promises
//
//   - A receiver handles nothing that is not signed with one of its keys over id, timestamp and body,
//     nothing whose timestamp is more than Tolerance off, and no id a second time while it remembers it.
//   - Keys may be exchanged at any time, also between the attempts of one message: a sender signs with
//     all its keys, and a receiver takes any of its own.
//   - Only 2xx is success; redirects are not followed. 410 disables the endpoint. 429, 502 and 504 and a
//     Retry-After throttle all deliveries to it. An attempt takes at most Timeout.
//   - The id is the same in all attempts, the timestamp is the attempt's.
//
// # What it does not promise
//
// A Receiver remembers ids in memory: after a restart, and beyond MaxIDs, a repetition is handled
// again. Where that matters let Handle add a job to a workqueue.Queue under the id, which is durable, and
// which is also the way to answer fast. A Deliver is in memory too; a job whose handle calls [Sender.Attempt] and
// returns a workqueue.Later survives its process. It does not protect internal addresses from
// endpoints that strangers may name: give Sender.HTTP a transport that refuses them.
//
// # Strictness
//
// Keys with fewer than 24 bytes are refused on both sides, so that a variable that is not set verifies
// nothing, and so are ids with a full stop, with which one signature would fit two messages. A timestamp is digits only; the reference
// library of Go takes a sign too.
package webhook
