package reqresp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"

	"github.com/squall-sim/squall/patterns/reqresp"
)

// A payment that is sent twice is executed once, and both requests get the same answer.
func Example() {
	pay := func(_ context.Context, r *reqresp.Request) (reqresp.Effect, error) {
		amount, err := strconv.Atoi(string(r.Body))
		return func(tx reqresp.Tx) (*reqresp.Response, error) { // in one transaction with the answer
			if err != nil {
				return &reqresp.Response{Status: http.StatusBadRequest}, nil
			}
			paid, _ := strconv.Atoi(string(tx.Get("paid")))
			tx.Put("paid", []byte(strconv.Itoa(paid+amount)))
			return &reqresp.Response{Status: http.StatusCreated, Body: fmt.Appendf(nil, "%d in all", paid+amount)}, nil
		}, nil
	}
	service := &reqresp.Server{Handle: pay, RequireKey: true} // with OpenDisk's Store it survives a restart
	server := httptest.NewServer(service.Handler())
	defer server.Close()

	client := &reqresp.Client{URL: server.URL, HTTP: server.Client()}
	for _, key := range []string{"order 1", "order 1", "order 2", ""} {
		answer, err := client.Call(context.Background(), reqresp.Request{Method: "POST", Path: "/pay", Body: []byte("5"), Key: key})
		if err != nil {
			fmt.Println(reqresp.OutcomeOf(err), "-", err)
			continue
		}
		fmt.Println(answer.Status, string(answer.Body))
	}
	// Output:
	// 201 5 in all
	// 201 5 in all
	// 201 10 in all
	// not executed - reqresp: not executed, after 1 attempt: server answered 400 Bad Request: POST needs an Idempotency-Key
}
