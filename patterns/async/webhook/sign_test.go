package webhook_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/async/webhook"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func key(t testing.TB, text string) webhook.Key {
	t.Helper()
	k, err := webhook.ParseKey(text)
	require.NoError(t, err)
	return k
}

// The signature that the tests of all of the specification's reference libraries have in common
// (github.com/standard-webhooks/standard-webhooks/libraries 0.0.1).
func TestPublishedVector(t *testing.T) {
	m := webhook.Message{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Time: time.Unix(1614265330, 0), Body: []byte(`{"test": 2432232314}`)}
	h, err := webhook.Sign(m, []webhook.Key{key(t, secret)})
	require.NoError(t, err)
	require.Equal(t, http.Header{
		"Webhook-Id":        {"msg_p5jXN8AQM9LWM0D4loKWxJek"},
		"Webhook-Timestamp": {"1614265330"},
		"Webhook-Signature": {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	}, h)
	got, err := webhook.Verify(h, m.Body, []webhook.Key{key(t, strings.TrimPrefix(secret, "whsec_"))}, m.Time, time.Minute)
	require.NoError(t, err)
	require.Equal(t, m, got)
}

// What the reference library's verifier accepts and refuses, restated; where this one is stricter the
// row says so.
func TestVerify(t *testing.T) {
	now := time.Unix(1614265330, 0)
	k := key(t, secret)
	private, public := webhook.NewPair()
	other := key(t, webhook.NewSecret())
	at := func(offset time.Duration) func(http.Header) {
		return func(h http.Header) {
			signed, err := webhook.Sign(webhook.Message{ID: "msg_1", Time: now.Add(offset), Body: []byte("body")}, []webhook.Key{k})
			require.NoError(t, err)
			for name, v := range signed {
				h[name] = v
			}
		}
	}
	set := func(name, format string) func(http.Header) {
		return func(h http.Header) {
			if strings.Contains(format, "%s") {
				format = fmt.Sprintf(format, h.Get(name))
			}
			h.Set(name, format)
		}
	}
	for _, row := range []struct {
		reason string
		change func(http.Header)
		want   error
	}{
		{"as it was sent", func(http.Header) {}, nil},
		{"300 s old", at(-300 * time.Second), nil},
		{"301 s old", at(-301 * time.Second), webhook.ErrStale},
		{"300 s ahead", at(300 * time.Second), nil},
		{"301 s ahead", at(301 * time.Second), webhook.ErrStale},
		{"another signature before it", set("Webhook-Signature", "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= %s"), nil},
		{"of a version that nobody knows", set("Webhook-Signature", "v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= %s"), nil},
		{"of the other kind", set("Webhook-Signature", "v1a,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= %s"), nil},
		{"two spaces", set("Webhook-Signature", "v1,x  %s"), nil},
		{"something after another comma", set("Webhook-Signature", "%s,junk"), nil},
		{"two fields", func(h http.Header) { h["Webhook-Signature"] = append([]string{"v1,x"}, h["Webhook-Signature"]...) }, nil},
		{"commas instead of spaces", set("Webhook-Signature", "v1,x,%s"), webhook.ErrSignature},
		{"no version", func(h http.Header) {
			h.Set("Webhook-Signature", strings.TrimPrefix(h.Get("Webhook-Signature"), "v1,"))
		}, webhook.ErrSignature},
		{"another version's name", func(h http.Header) {
			h.Set("Webhook-Signature", strings.Replace(h.Get("Webhook-Signature"), "v1,", "v1a,", 1))
		}, webhook.ErrSignature},
		{"an empty signature", set("Webhook-Signature", "v1,"), webhook.ErrSignature},
		{"no signature", set("Webhook-Signature", ""), webhook.ErrMalformed},
		{"17 of them: stricter", set("Webhook-Signature", strings.Repeat("v1,x ", 16)+"%s"), webhook.ErrMalformed},
		{"another id", set("Webhook-Id", "msg_2"), webhook.ErrSignature},
		{"no id", set("Webhook-Id", ""), webhook.ErrMalformed},
		{"an id with a full stop: stricter", set("Webhook-Id", "msg.1"), webhook.ErrMalformed},
		{"another timestamp", set("Webhook-Timestamp", "1614265331"), webhook.ErrSignature},
		{"a timestamp with a sign: stricter", set("Webhook-Timestamp", "+1614265330"), webhook.ErrMalformed},
		{"a fraction", set("Webhook-Timestamp", "1614265330.0"), webhook.ErrMalformed},
		{"beyond 64 bits", set("Webhook-Timestamp", "99999999999999999999"), webhook.ErrMalformed},
		{"no timestamp", set("Webhook-Timestamp", ""), webhook.ErrMalformed},
		// The reference library signs the number that it has read, and so accepts this one.
		{"a zero before it: stricter, since the text is what was signed", set("Webhook-Timestamp", "01614265330"), webhook.ErrSignature},
	} {
		h, err := webhook.Sign(webhook.Message{ID: "msg_1", Time: now, Body: []byte("body")}, []webhook.Key{k})
		require.NoError(t, err)
		row.change(h)
		_, err = webhook.Verify(h, []byte("body"), []webhook.Key{k}, now, 300*time.Second)
		require.ErrorIs(t, err, row.want, row.reason)
	}
	h := http.Header{}
	at(-300 * time.Second)(h)
	_, err := webhook.Verify(h, []byte("body"), []webhook.Key{k}, now.Add(time.Second/2), 300*time.Second)
	require.ErrorIs(t, err, webhook.ErrStale, "the clock is not cut to seconds")
	at(300 * time.Second)(h)
	_, err = webhook.Verify(h, []byte("body"), []webhook.Key{k}, now.Add(time.Second/2), 300*time.Second)
	require.NoError(t, err)
	_, err = webhook.Verify(h, []byte("Body"), []webhook.Key{k}, now, 300*time.Second)
	require.ErrorIs(t, err, webhook.ErrSignature, "another body")
	_, err = webhook.Verify(h, []byte("body"), []webhook.Key{other}, now, 300*time.Second)
	require.ErrorIs(t, err, webhook.ErrSignature, "another key")
	_, err = webhook.Verify(h, []byte("body"), []webhook.Key{other, k}, now, 300*time.Second)
	require.NoError(t, err, "one of two keys")

	m := webhook.Message{ID: "m", Time: now}
	h, err = webhook.Sign(m, []webhook.Key{key(t, private), k})
	require.NoError(t, err)
	for _, k := range []webhook.Key{key(t, public), key(t, private), k} {
		_, err = webhook.Verify(h, nil, []webhook.Key{k}, now, time.Minute)
		require.NoError(t, err, "an empty body, of two signatures one")
	}
	_, wrong := webhook.NewPair()
	_, err = webhook.Verify(h, nil, []webhook.Key{key(t, wrong)}, now, time.Minute)
	require.ErrorIs(t, err, webhook.ErrSignature)
	_, err = webhook.Verify(h, nil, nil, now, time.Minute)
	require.ErrorIs(t, err, webhook.ErrSignature, "no keys verify nothing")
	_, err = webhook.Verify(h, nil, []webhook.Key{{}}, now, time.Minute)
	require.ErrorIs(t, err, webhook.ErrSignature, "nor does a key that was never set")
}

func TestWhatIsNotSigned(t *testing.T) {
	k := key(t, secret)
	_, public := webhook.NewPair()
	now := time.Unix(1e9, 0)
	for want, f := range map[string]func() (http.Header, error){
		`webhook: id "a.b": want printable ASCII without spaces and full stops`: func() (http.Header, error) {
			return webhook.Sign(webhook.Message{ID: "a.b", Time: now}, []webhook.Key{k})
		},
		`webhook: id "a\n": want printable ASCII without spaces and full stops`: func() (http.Header, error) {
			return webhook.Sign(webhook.Message{ID: "a\n", Time: now}, []webhook.Key{k})
		},
		"webhook: id has 0 bytes: want 1 to 256":  func() (http.Header, error) { return webhook.Sign(webhook.Message{Time: now}, []webhook.Key{k}) },
		"webhook: there are no keys to sign with": func() (http.Header, error) { return webhook.Sign(webhook.Message{ID: "a", Time: now}, nil) },
		"webhook: whpk_... cannot sign": func() (http.Header, error) {
			return webhook.Sign(webhook.Message{ID: "a", Time: now}, []webhook.Key{key(t, public)})
		},
		"webhook: no key cannot sign": func() (http.Header, error) {
			return webhook.Sign(webhook.Message{ID: "a", Time: now}, []webhook.Key{{}})
		},
		"webhook: Message.Time is 0001-01-01 00:00:00 +0000 UTC: want one since 1970": func() (http.Header, error) { return webhook.Sign(webhook.Message{ID: "a"}, []webhook.Key{k}) },
	} {
		_, err := f()
		require.EqualError(t, err, want)
	}
}

func TestKeys(t *testing.T) {
	of := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for text, want := range map[string]string{
		"":                     "webhook: secret has 0 bytes: want 24 to 64",
		"whsec_" + of(23):      "webhook: secret has 23 bytes: want 24 to 64",
		"whsec_" + of(65):      "webhook: secret has 65 bytes: want 24 to 64",
		"whsec_" + of(24):      "",
		"whsec_" + of(64):      "",
		of(32):                 "",
		"WHSEC_" + of(30):      "webhook: key of 46 characters: want whsec_ and padded standard base64",
		"whsec_" + of(25)[:34]: "webhook: key of 40 characters: want whsec_ and padded standard base64",
		"whpk_" + of(31):       "webhook: public key has 31 bytes: want 32",
		"whpk_" + of(32):       "",
		"whsk_" + of(31):       "webhook: private key has 31 bytes: want 64 or 32",
		"whsk_" + of(32):       "",
		"whsk_" + of(64):       "webhook: private key: its public half is another's",
		"whsk_?":               "webhook: key of 6 characters: want whsk_ and padded standard base64",
	} {
		_, err := webhook.ParseKey(text)
		if want == "" {
			require.NoError(t, err, text)
		} else {
			require.EqualError(t, err, want)
		}
	}
	require.Equal(t, "whsec_... whsec_...", fmt.Sprintf("%v %#v", key(t, secret), key(t, secret)), "keys do not get into logs")
}

// FuzzVerify looks at headers that anybody may send: none of them verifies.
func FuzzVerify(f *testing.F) {
	f.Add("msg_1", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", []byte("body"))
	f.Add("", "-0", "v1a, v1,,", []byte{})
	f.Add("a.1", "9223372036854775807", "v1", []byte("x"))
	k, _ := webhook.ParseKey(secret)
	_, public := webhook.NewPair()
	p, _ := webhook.ParseKey(public)
	f.Fuzz(func(t *testing.T, id, stamp, signature string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {signature}}
		if _, err := webhook.Verify(h, body, []webhook.Key{k, p}, time.Unix(1614265330, 0), time.Hour); err == nil {
			t.Fatalf("verified: %q", h)
		}
	})
}

// FuzzKey reads keys that anybody may paste: what is read can sign or verify, and never panics.
func FuzzKey(f *testing.F) {
	private, public := webhook.NewPair()
	for _, s := range []string{secret, private, public, "whsec_", "whsk_AA==", "whpk_"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := webhook.ParseKey(text)
		if err != nil {
			return
		}
		now := time.Unix(1e9, 0)
		h, err := webhook.Sign(webhook.Message{ID: "a", Time: now}, []webhook.Key{k})
		if err != nil {
			return // a public key
		}
		if _, err := webhook.Verify(h, nil, []webhook.Key{k}, now, 0); err != nil {
			t.Fatal(err)
		}
	})
}
