package unchanged

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/squall-sim/squall/sim"
)

func TestNetHTTP(t *testing.T) {
	alike(t, func(n *sim.Network) (string, error) {
		return ordinary(n, func(ctx context.Context) error {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /name", func(w http.ResponseWriter, _ *http.Request) {
				name, _ := os.Hostname()
				fmt.Fprint(w, name)
			})
			return http.ListenAndServe(":80", mux)
		}, func() (caller, error) {
			return caller{func(ctx context.Context) error {
				req, err := http.NewRequestWithContext(ctx, "GET", "http://server/name", nil)
				if err != nil {
					return err
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err == nil && string(body) != "server" {
					err = fmt.Errorf("the answer is %q", body)
				}
				return err
			}, http.DefaultClient.CloseIdleConnections}, nil
		})
	})
}
