package workqueue

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// FuzzHandler gives a queue requests that nobody would send: it answers each, and none with 500.
func FuzzHandler(f *testing.F) {
	for _, seed := range [][2]string{
		{"add", `{"job":{"id":"a","key":"k","payload":"aGk=","delay":5,"ttl":6}}`},
		{"add", `{"job":{"id":"../x","delay":-1}}`},
		{"lease", `{"request":"r","wait":-5}`},
		{"extend", `{"id":"a","token":1,"checkpoint":"aGk="}`},
		{"finish", `{"id":"a","token":2,"end":{"state":"pending","error":"no","after":9223372036854775807}}`},
		{"finish", `{"id":"a","token":18446744073709551615,"end":{"state":"done"}}`},
		{"list", `{"state":"dead"}`}, {"cancel", `{"id":""}`}, {"retry", `[]`}, {"get", `{"id":null}`},
	} {
		f.Add(seed[0], seed[1])
	}
	q := &Queue{MaxJobs: 10, LeaseTimeout: time.Millisecond}
	f.Cleanup(func() { q.Close() })
	h := q.Handler()
	f.Fuzz(func(t *testing.T, method, body string) {
		if method == "lease" && !strings.Contains(body, `"wait":-`) {
			method = "get" // it would wait
		}
		r, err := http.NewRequest(http.MethodPost, "http://queue/", strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		r.URL.Path = "/" + method
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
			t.Fatalf("%s %q: %d %s", method, body, w.Code, w.Body)
		}
	})
}

// FuzzRecord reads what may be in a damaged file: a record that is read can be written and read again.
func FuzzRecord(f *testing.F) {
	r := record{ID: "a", State: Running, Payload: []byte("p"), Attempts: 3, Token: 7, At: time.Unix(1e9, 5).UTC(), Checkpoint: []byte("c")}
	b, _ := r.encode()
	f.Add(b)
	f.Add([]byte(`{"state":"odd"}`))
	f.Add([]byte(`{"digest":"AA=="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord("a", b)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		second, err := decodeRecord("a", again)
		if err != nil || second.State != r.State || second.Token != r.Token || !second.At.Equal(r.At) {
			t.Fatalf("%+v became %+v, %v", r, second, err)
		}
	})
}

// A file that this version did not write, as version 1 did: what it says is read.
func TestFormat1(t *testing.T) {
	r, err := decodeRecord("a", []byte(`{"key":"k","digest":"`+strings.Repeat("A", 43)+`=","payload":"cA==","seq":3,"state":"running","version":9,"attempts":2,"token":8,"request":"r","at":"2000-01-01T00:00:30Z","checkpoint":"Yw=="}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Key != "k" || string(r.Payload) != "p" || r.Seq != 3 || r.State != Running || r.Version != 9 || r.Attempts != 2 || r.Token != 8 || r.Request != "r" || string(r.Checkpoint) != "c" || r.At.Unix() != 946684830 {
		t.Fatalf("%+v", r)
	}
}
