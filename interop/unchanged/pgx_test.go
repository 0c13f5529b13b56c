package unchanged

import (
	"context"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/squall-sim/squall/sim"
)

func TestPgx(t *testing.T) {
	alike(t, func(n *sim.Network) (string, error) {
		return ordinary(n, servePostgres, func() (caller, error) {
			p, err := pgxpool.New(context.Background(), "postgres://user@server/db?sslmode=disable&default_query_exec_mode=simple_protocol")
			if err != nil {
				return caller{}, err
			}
			return caller{func(ctx context.Context) error {
				var one int
				return p.QueryRow(ctx, "select 1").Scan(&one)
			}, p.Close}, nil
		})
	})
}

// servePostgres answers every simple query with a row that holds 1.
func servePostgres(ctx context.Context) error {
	l, err := net.Listen("tcp", ":5432")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			answerQueries(pgproto3.NewBackend(c, c))
		}()
	}
}

func answerQueries(b *pgproto3.Backend) error {
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return err
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	b.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	for {
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if err := b.Flush(); err != nil {
			return err
		}
		m, err := b.Receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.Query:
			if m.String == "-- ping" || m.String == ";" {
				b.Send(&pgproto3.EmptyQueryResponse{})
				continue
			}
			b.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("one"), DataTypeOID: 23, DataTypeSize: 4, TypeModifier: -1}}})
			b.Send(&pgproto3.DataRow{Values: [][]byte{[]byte("1")}})
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		case *pgproto3.Terminate:
			return nil
		}
	}
}
