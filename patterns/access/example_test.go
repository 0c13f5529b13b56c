package access_test

import (
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/squall-sim/squall/patterns/access"
)

func Example() {
	tokens := access.Tokens{Keys: [][]byte{[]byte("32 random bytes, of a secret store")}}
	if err := tokens.Check(); err != nil {
		panic(err)
	}

	// A service that knows the user issues a token,
	token, err := tokens.Sign(access.Identity{
		Client:  "alice",
		Topics:  []string{"news", "orders.*"},
		Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		panic(err)
	}

	// and a pattern's server verifies it, with its field Authenticate.
	r := httptest.NewRequest("GET", "/events", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	id, err := tokens.Authenticate(r)
	fmt.Println(id.Client, err)
	fmt.Println(id.MaySee("orders.eu"), id.MaySee("users"))
	_, _, err = id.Select([]string{"users"})
	fmt.Println(err, access.Status(err))
	// Output:
	// alice <nil>
	// true false
	// access: forbidden: topic "users" 403
}
