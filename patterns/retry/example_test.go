package retry_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/retry"
)

func Example() {
	backoff := retry.Backoff{Max: 5 * time.Second}
	for failures := 1; failures <= 4; failures++ {
		fmt.Println(failures, "failures: at most", backoff.Delay(failures, retry.NoJitter))
	}

	// The server's clock need not agree with ours, because Retry-After is compared with the answer's own Date.
	h := http.Header{}
	h.Set("Date", "Fri, 31 Dec 1999 23:59:00 GMT")
	h.Set("Retry-After", "Fri, 31 Dec 1999 23:59:20 GMT")
	if after, ok := retry.After(h); ok {
		fmt.Println("told to wait: at least", backoff.Hint(after, retry.NoJitter))
	}
	// Output:
	// 1 failures: at most 1s
	// 2 failures: at most 2s
	// 3 failures: at most 4s
	// 4 failures: at most 5s
	// told to wait: at least 20s
}
