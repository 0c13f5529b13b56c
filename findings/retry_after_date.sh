#!/usr/bin/env bash
# Retry-After is a number of seconds or a date (RFC 9110, 10.2.3), and a recipient must accept a date in each of three
# forms (5.6.7).
#
# Guessed: Go's clients accept seconds and the usual form of a date, but not the two old forms. Seen: failsafe-go
# 0.9.8 accepts seconds only. After a date, which it does not understand, it repeats at once and without its own
# delay. go-retryablehttp 0.7.8 does as guessed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
failsafe-go 0.9.8: seconds waits, date does not, RFC 850's does not, asctime's does not
go-retryablehttp 0.7.8: seconds waits, date waits, RFC 850's does not, asctime's does not
END
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/failsafe-go/failsafe-go v0.9.8
	github.com/hashicorp/go-retryablehttp v0.7.8
)
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/hashicorp/go-retryablehttp"
)

const asked = 6 * time.Second // a date has whole seconds

var forms = []struct {
	name  string
	value func(at time.Time) string
}{
	{"seconds", func(time.Time) string { return fmt.Sprint(asked.Seconds()) }},
	{"date", func(at time.Time) string { return at.Format(http.TimeFormat) }},
	{"RFC 850's", func(at time.Time) string { return at.Format("Monday, 02-Jan-06 15:04:05 GMT") }},
	{"asctime's", func(at time.Time) string { return at.Format(time.ANSIC) }},
}

// delay is from the answer with a Retry-After to the next request.
func delay(get func(url string), value func(at time.Time) string) time.Duration {
	var refused time.Time
	again := make(chan time.Duration, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !refused.IsZero() {
			again <- time.Since(refused)
			return
		}
		refused = time.Now()
		w.Header().Set("Retry-After", value(refused.Add(asked).UTC()))
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	get(srv.URL)
	return <-again
}

func show(name string, get func(url string)) {
	var all sync.WaitGroup
	words := make([]string, len(forms))
	for i, form := range forms {
		all.Go(func() {
			words[i] = " " + form.name + " does not"
			if delay(get, form.value) > asked/2 {
				words[i] = " " + form.name + " waits"
			}
		})
	}
	all.Wait()
	fmt.Printf("%s:%s,%s,%s,%s\n", name, words[0], words[1], words[2], words[3])
}

func main() {
	show("failsafe-go 0.9.8", func(url string) {
		c := http.Client{Transport: failsafehttp.NewRoundTripper(nil, failsafehttp.NewRetryPolicyBuilder().Build())}
		c.Get(url)
	})
	show("go-retryablehttp 0.7.8", func(url string) {
		c := retryablehttp.NewClient()
		c.Logger = nil
		c.Get(url)
	})
}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
go run . >got
diff want got && cat got
