package interop

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	vitess "github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/sqltypes"
	querypb "github.com/dolthub/vitess/go/vt/proto/query"
	"github.com/dolthub/vitess/go/vt/sqlparser"
	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	wire "github.com/jeroenrinzema/psql-wire"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// The databases know one query, which selects a text.
func selecting(text string) string { return "select '" + text + "'" }

func selected(query string) string {
	_, text, _ := strings.Cut(query, "'")
	return strings.TrimSuffix(text, "'")
}

func servePostgres(t *testing.T, _ *sim.Network, server *sim.Host, work func(string)) {
	parse := func(_ context.Context, q wire.Query) (wire.PreparedStatements, error) {
		text := selected(q.Query)
		return wire.Prepared(wire.NewStatement(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
			work(text)
			if err := w.Row([]any{text}); err != nil {
				return err
			}
			return w.Complete("SELECT 1")
		}, wire.WithColumns(wire.Columns{{Name: "text", Oid: pgtype.TextOID}}))), nil
	}
	process(server, "postgres", ":5432", func(ctx context.Context, l *sim.TCPListener) error {
		s, err := wire.NewServer(parse, wire.Logger(slog.New(slog.NewTextHandler(io.Discard, nil))))
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { s.Close() })()
		return s.Serve(l)
	})
}

const postgresURL = "postgres://x@server:5432/x?sslmode=disable"

func dialPgx(t *testing.T, _ *sim.Network, phone *sim.Host) caller {
	conf, err := pgxpool.ParseConfig(postgresURL)
	require.NoError(t, err)
	onHost(conf.ConnConfig, phone)
	pool, err := pgxpool.NewWithConfig(context.Background(), conf)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return func(ctx context.Context, text string) error {
		var got string
		err := pool.QueryRow(ctx, selecting(text)).Scan(&got)
		return same(got, text, err)
	}
}

func onHost(conf *pgx.ConnConfig, phone *sim.Host) {
	conf.DialFunc = phone.DialContext
	conf.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
}

func dialSQLPgx(t *testing.T, _ *sim.Network, phone *sim.Host) caller {
	conf, err := pgx.ParseConfig(postgresURL)
	require.NoError(t, err)
	onHost(conf, phone)
	return databaseSQL(t, stdlib.OpenDB(*conf))
}

func databaseSQL(t *testing.T, db *sql.DB) caller {
	t.Cleanup(func() { db.Close() })
	return func(ctx context.Context, text string) error {
		var got string
		err := db.QueryRowContext(ctx, selecting(text)).Scan(&got)
		return same(got, text, err)
	}
}

func dialMySQL(t *testing.T, _ *sim.Network, phone *sim.Host) caller {
	conf := mysql.NewConfig()
	conf.User, conf.Net, conf.Addr = "x", "tcp", "server:3306"
	conf.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return phone.DialContext(ctx, network, addr)
	}
	conf.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(conf)
	require.NoError(t, err)
	return databaseSQL(t, sql.OpenDB(connector))
}

func serveMySQL(_ *testing.T, _ *sim.Network, server *sim.Host, work func(string)) {
	process(server, "mysql", ":3306", func(_ context.Context, l *sim.TCPListener) error {
		s, err := vitess.NewFromListener(l, vitess.NewAuthServerNone(), mysqlHandler{work}, 0, 0)
		if err != nil {
			return err
		}
		s.Accept()
		return nil
	})
}

// mysqlHandler is what vitess's server asks.
type mysqlHandler struct{ work func(string) }

func (h mysqlHandler) ComQuery(_ context.Context, _ *vitess.Conn, query string, result vitess.ResultSpoolFn) error {
	text := strings.Clone(selected(query))
	h.work(text)
	return result(&sqltypes.Result{
		Fields: []*querypb.Field{{Name: "text", Type: sqltypes.VarChar}},
		Rows:   [][]sqltypes.Value{{sqltypes.NewVarChar(text)}},
	}, false)
}

func (mysqlHandler) NewConnection(*vitess.Conn)                   {}
func (mysqlHandler) ConnectionClosed(*vitess.Conn)                {}
func (mysqlHandler) ConnectionAborted(*vitess.Conn, string) error { return nil }
func (mysqlHandler) ComInitDB(*vitess.Conn, string) error         { return nil }
func (mysqlHandler) ComResetConnection(*vitess.Conn) error        { return nil }
func (mysqlHandler) WarningCount(*vitess.Conn) uint16             { return 0 }

func (h mysqlHandler) ComMultiQuery(ctx context.Context, c *vitess.Conn, query string, result vitess.ResultSpoolFn) (string, error) {
	return "", h.ComQuery(ctx, c, query, result)
}

func (mysqlHandler) ComPrepare(context.Context, *vitess.Conn, string, *vitess.PrepareData) ([]*querypb.Field, error) {
	return nil, vitess.NewSQLError(vitess.ERUnknownComError, vitess.SSUnknownComError, "there are no statements here")
}

func (mysqlHandler) ComStmtExecute(context.Context, *vitess.Conn, *vitess.PrepareData, func(*sqltypes.Result) error) error {
	return vitess.NewSQLError(vitess.ERUnknownComError, vitess.SSUnknownComError, "there are no statements here")
}

func (mysqlHandler) ParserOptionsForConnection(*vitess.Conn) (sqlparser.ParserOptions, error) {
	return sqlparser.ParserOptions{}, nil
}
