package unchanged

import (
	"context"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/squall-sim/squall/sim"
)

func TestRedis(t *testing.T) {
	alike(t, func(n *sim.Network) (string, error) {
		return ordinary(n, func(ctx context.Context) error {
			s := miniredis.NewMiniRedis()
			if err := s.StartAddr(":6379"); err != nil {
				return err
			}
			<-ctx.Done()
			s.Close()
			return nil
		}, func() (caller, error) {
			c := redis.NewClient(&redis.Options{Addr: "server:6379", ContextTimeoutEnabled: true})
			return caller{func(ctx context.Context) error { return c.Incr(ctx, "calls").Err() }, func() { c.Close() }}, nil
		})
	})
}
