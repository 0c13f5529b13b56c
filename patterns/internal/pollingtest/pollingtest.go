// Package pollingtest is shared by the tests of long and short polling.
package pollingtest

import (
	"fmt"
	"net/http"

	"github.com/squall-sim/squall/patterns/access"
)

// ByName returns a function that authenticates requests by the name of an
// identity in the header Authorization.
func ByName(identities ...access.Identity) func(*http.Request) (access.Identity, error) {
	return func(r *http.Request) (access.Identity, error) {
		for _, id := range identities {
			if id.Client == r.Header.Get("Authorization") {
				return id, nil
			}
		}
		return access.Identity{}, fmt.Errorf("%w: who are you?", access.ErrUnauthorized)
	}
}
