package unchanged

import (
	"context"
	"errors"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/squall-sim/squall/sim"
)

func TestNATS(t *testing.T) {
	alikeButPayloads(t, func(n *sim.Network) (string, error) {
		return ordinary(n, func(ctx context.Context) error {
			s, err := natsd.NewServer(&natsd.Options{Host: "0.0.0.0", Port: 4222, NoSigs: true, NoLog: true})
			if err != nil {
				return err
			}
			go s.Start()
			if !s.ReadyForConnections(10 * time.Second) {
				return errors.New("the server does not listen")
			}
			<-ctx.Done()
			s.Shutdown()
			s.WaitForShutdown()
			return nil
		}, func() (caller, error) {
			c, err := nats.Connect("nats://server:4222", nats.MaxReconnects(-1), nats.ReconnectWait(500*time.Millisecond),
				nats.PingInterval(time.Second), nats.MaxPingsOutstanding(1), nats.Timeout(time.Second))
			if err != nil {
				return caller{}, err
			}
			_, err = c.Subscribe("echo", func(m *nats.Msg) { m.Respond(m.Data) })
			return caller{func(ctx context.Context) error {
				_, err := c.RequestWithContext(ctx, "echo", []byte("x"))
				return err
			}, c.Close}, err
		})
	})
}
