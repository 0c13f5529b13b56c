package sim

// hooks lists how to put a library on a host of the network: packages, the more specific ones first, and what
// to write. The table in interop/README.md is the same.
var hooks = []struct{ pkg, hook string }{
	{"google.golang.org/grpc", `grpc.NewClient("passthrough:///server:50051", grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return host.DialContext(ctx, "tcp", addr) })); Server.Serve(l) with l of host.Listen`},
	{"go.etcd.io/etcd/client", "clientv3.Config.DialOptions with grpc.WithContextDialer, as for gRPC"},
	{"github.com/twmb/franz-go", "kgo.Dialer(host.DialContext)"},
	{"github.com/IBM/sarama", "Config.Net.Proxy.Enable = true and Config.Net.Proxy.Dialer = host"},
	{"github.com/segmentio/kafka-go", "Dialer.DialFunc or Transport.Dial: host.DialContext"},
	{"github.com/nats-io/nats.go", "nats.SetCustomDialer(host), nats.SkipHostLookup()"},
	{"github.com/nats-io/nats-server", "Options.DontListen; accept with host.Listen and copy to Server.InProcessConn"},
	{"github.com/redis/go-redis", "Options.Dialer: host.DialContext"},
	{"github.com/redis/rueidis", `ClientOption.DialCtxFn: host.DialContext(ctx, "tcp", addr)`},
	{"github.com/alicebob/miniredis", "Miniredis.Dial once, then Server().ServeConn for each connection of host.Listen"},
	{"github.com/eclipse/paho.mqtt.golang", "ClientOptions.SetCustomOpenConnectionFn with host.DialContext"},
	{"github.com/eclipse/paho.golang", "autopaho.ClientConfig.AttemptConnection with host.DialContext"},
	{"github.com/mochi-mqtt/server", "listeners.NewNet(id, l) with l of host.Listen"},
	{"github.com/rabbitmq/amqp091-go", "amqp.Config.Dial: host.Dial"},
	{"github.com/jackc/pgx", "ConnConfig.DialFunc: host.DialContext, and ConnConfig.LookupFunc that returns the name as it is"},
	{"github.com/lib/pq", "Connector.Dialer with a type that has Dial of the host, and DialTimeout"},
	{"github.com/go-sql-driver/mysql", "mysql.Config.DialFunc: host.DialContext, with mysql.NewConnector"},
	{"go.mongodb.org/mongo-driver", "options.Client().SetDialer(host)"},
	{"github.com/gocql/gocql", "ClusterConfig.Dialer: host"},
	{"github.com/bradfitz/gomemcache", "Client.DialContext: host.DialContext, and addresses of hosts instead of names"},
	{"github.com/gorilla/websocket", "websocket.Dialer.NetDialContext: host.DialContext"},
	{"github.com/coder/websocket", "DialOptions.HTTPClient: host.HTTPClient()"},
	{"github.com/centrifugal/centrifuge-go", "Config.NetDialContext: host.DialContext"},
	{"github.com/quic-go/quic-go", "quic.Transport{Conn: pc}, http3.Transport.Dial, http3.Server.Serve(pc), with pc of host.ListenPacket"},
	{"github.com/miekg/dns", "dns.Server{PacketConn, Listener}.ActivateAndServe; Client.ExchangeWithConnContext"},
	{"golang.org/x/crypto/ssh", "ssh.NewClientConn and ssh.NewServerConn with connections of host.Dial and host.Listen"},
	{"github.com/valyala/fasthttp", "fasthttp.Client.Dial; fasthttp.Server.Serve(l) with l of host.Listen"},
	{"net/http/httptest", `host.ServeHTTP(":80", handler), and URLs like http://server/`},
	{"net/http", `host.HTTPClient(), or http.Transport{DialContext: host.DialContext}; host.ServeHTTP(":80", handler), or Server.Serve(l) with l of host.Listen`},
	{"net/rpc", "rpc.NewClient(conn) with conn of host.Dial; rpc.Server.Accept(l)"},
	{"net/smtp", "smtp.NewClient(conn, name) with conn of host.Dial"},
	{"crypto/tls", "tls.Client(conn, config) with conn of host.Dial; tls.NewListener(l, config)"},
	{"net", "host.Dial, host.DialContext, host.Dialer(), host.Listen, host.ListenPacket; host.Resolver() for names"},
}

// troubles are libraries that cannot run unchanged in a bubble. The table in interop/README.md is the same.
var troubles = []struct{ pkg, why string }{
	{"github.com/xtaci/kcp-go", "its timers are goroutines that start with the package, outside of any bubble, and keep to the real clock. It cannot run in a bubble"},
	{"github.com/valyala/fasthttp", "the first server of a process starts a goroutine for the Date header that never ends. Serve one request outside of any bubble first, in TestMain"},
	{"github.com/bradfitz/gomemcache", "SetServers asks the operating system's resolver for names. Give it addresses"},
	{"github.com/nsqio/go-nsq", "it has no hook for its dialer"},
	{"github.com/gosnmp/gosnmp", "it has no hook for its dialer: set GoSNMP.Conn to a connection of host.Dial, and do not call Connect"},
	{"github.com/go-zeromq/zmq4", "it has no hook for its dialer and listener; transport.Register takes a transport of one's own"},
	{"github.com/nats-io/nats-server/v2/server/ats", "its clock must start outside of any bubble: call ats.Register in TestMain"},
}
