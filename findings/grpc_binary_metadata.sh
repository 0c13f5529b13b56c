#!/usr/bin/env bash
# gRPC metadata whose name ends in "-bin" has a base64 value. Several values of one name may be sent in one line,
# separated by commas, because HTTP lets proxies and libraries join them: "Implementations must split Binary-Headers on
# "," before decoding" (PROTOCOL-HTTP2, "Requests").
#
# Guessed: grpc-go 1.85.0 and grpcio 1.51.1 (Python) split the line; @grpc/grpc-js 1.14.7 does not. Seen: the other way
# round. In grpc-go and grpcio the whole call fails, with codes (Internal, UNKNOWN) that do not reveal why. connect-node
# 2.1.2 writes such lines whenever a Node program appends a second value, because its Headers join them.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
grpc-go to grpc-go: OK [0001 0203]
grpc-go to grpcio: OK ['0001', '0203']
grpc-go to grpc-js: OK [0001 0203]
grpc-go to connect-go: OK ["AAE" "AgM"]
grpc-js to grpc-go: OK [0001 0203]
grpc-js to grpcio: OK ['0001', '0203']
grpc-js to grpc-js: OK [0001 0203]
grpc-js to connect-go: OK ["AAE=" "AgM="]
connect-node to grpc-go: Internal []
connect-node to grpcio: UNKNOWN
connect-node to grpc-js: OK [0001 0203]
connect-node to connect-go: OK ["AAE, AgM"]
connect-node, calling, to grpc-go: [internal] HTTP 400; it got no call
connect-node, calling, to grpc-js: OK; it got [0001 0203]
END
npm install --silent --no-fund --no-audit --prefix . @grpc/grpc-js@1.14.7 @connectrpc/connect@2.1.2 @connectrpc/connect-node@2.1.2 \
  @bufbuild/protobuf@2.17.0 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  python3 python3-grpcio ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
export PYTHONPATH="$dir/root/usr/lib/python3/dist-packages" LD_LIBRARY_PATH="$dir/root/usr/lib/$(uname -m)-linux-gnu"
cat >go.mod <<'END'
module finding

go 1.26

require (
	connectrpc.com/connect v1.21.1
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)
END
cat >main.go <<'END'
package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	pb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

type server struct{ health.Server }

// Check sends two values and tells those that it got.
func (*server) Check(ctx context.Context, _ *pb.HealthCheckRequest) (*pb.HealthCheckResponse, error) {
	in, _ := metadata.FromIncomingContext(ctx)
	fmt.Printf("OK %x\n", in.Get("x-bin"))
	check(grpc.SetHeader(ctx, metadata.Pairs("x-bin", "\x00\x01", "x-bin", "\x02\x03")))
	return &pb.HealthCheckResponse{}, nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	switch os.Args[1] {
	case "describe":
		b, err := proto.Marshal(protodesc.ToFileDescriptorProto(pb.File_grpc_health_v1_health_proto))
		check(err)
		fmt.Println(base64.StdEncoding.EncodeToString(b))
	case "serve":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		fmt.Println(l.Addr())
		s := grpc.NewServer()
		pb.RegisterHealthServer(s, &server{})
		check(s.Serve(l))
	case "grpc":
		conn, err := grpc.NewClient(os.Args[2], grpc.WithTransportCredentials(insecure.NewCredentials()))
		check(err)
		var header metadata.MD
		_, err = pb.NewHealthClient(conn).Check(ctx, &pb.HealthCheckRequest{}, grpc.Header(&header))
		fmt.Printf("%v %x\n", status.Code(err), header.Get("x-bin"))
	case "connect":
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		client := connect.NewClient[pb.HealthCheckRequest, pb.HealthCheckResponse](
			&http.Client{Transport: &http.Transport{Protocols: protocols}}, "http://"+os.Args[2]+pb.Health_Check_FullMethodName, connect.WithGRPC())
		answer, err := client.CallUnary(ctx, connect.NewRequest(&pb.HealthCheckRequest{}))
		check(err)
		fmt.Printf("OK %q\n", answer.Header().Values("x-bin"))
	}
}
END
cat >main.py <<'END'
import sys
import grpc

raw = lambda data: data
check = grpc.insecure_channel(sys.argv[1]).unary_unary('/grpc.health.v1.Health/Check', raw, raw)
try:
    answer, call = check.with_call(b'', timeout=5)
    print('OK', [value.hex() for name, value in call.initial_metadata() if name == 'x-bin'])
except grpc.RpcError as err:
    print(err.code().name)
END
cat >main.mjs <<'END'
import http2 from 'node:http2'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import * as grpc from '@grpc/grpc-js'
import { fileDesc, serviceDesc } from '@bufbuild/protobuf/codegenv2'
import { createClient, encodeBinaryHeader } from '@connectrpc/connect'
import { connectNodeAdapter, createGrpcTransport } from '@connectrpc/connect-node'

const run = async (...args) => (await promisify(execFile)(...args)).stdout.trim()
const go = (...args) => run('./main', args)
const values = [Buffer.of(0, 1), Buffer.of(2, 3)]
const hex = (list) => `[${list.map((value) => value.toString('hex')).join(' ')}]`
const raw = (data) => data
const service = { Check: { path: '/grpc.health.v1.Health/Check', requestSerialize: raw, requestDeserialize: raw, responseSerialize: raw, responseDeserialize: raw } }
const Health = serviceDesc(fileDesc(await go('describe')), 0)

// The servers send two values; those two that are called by connect-node tell which they got.
let told
const grpcServer = new grpc.Server()
grpcServer.addService(service, { Check: (call, done) => {
  told = hex(call.metadata.get('x-bin'))
  const header = new grpc.Metadata()
  for (const value of values) header.add('x-bin', value)
  call.sendMetadata(header)
  done(null, Buffer.of(8, 1))
} })
const port = await promisify(grpcServer.bindAsync.bind(grpcServer))('127.0.0.1:0', grpc.ServerCredentials.createInsecure())
const goServer = spawn('./main', ['serve'], { stdio: ['ignore', 'pipe', 'inherit'] })
const goAt = String((await once(goServer.stdout, 'data'))[0]).trim()
goServer.stdout.on('data', (line) => { told = String(line).trim() })
const connectServer = http2.createServer(connectNodeAdapter({ routes: (router) => router.service(Health, { check: (_, context) => {
  for (const value of values) context.responseHeader.append('x-bin', encodeBinaryHeader(value))
  return { status: 1 }
} }) })).listen(0, '127.0.0.1')
await once(connectServer, 'listening')

const clients = {
  'grpc-go': (at) => go('grpc', at),
  'grpcio': (at) => run('/usr/bin/python3', ['main.py', at]),
  'grpc-js': (at) => new Promise((done) => {
    const client = new (grpc.makeClientConstructor(service))(at, grpc.credentials.createInsecure())
    let header
    client.Check(Buffer.alloc(0), (err) => done(err ? err.message : `OK ${hex(header.get('x-bin'))}`)).on('metadata', (got) => { header = got })
  }),
  'connect-go': (at) => go('connect', at),
}
const servers = { 'grpc-go': goAt, 'grpc-js': `127.0.0.1:${port}`, 'connect-node': `127.0.0.1:${connectServer.address().port}` }
for (const [server, at] of Object.entries(servers)) {
  for (const [client, call] of Object.entries(clients)) console.log(`${server} to ${client}: ${await call(at)}`)
}
for (const server of ['grpc-go', 'grpc-js']) {
  const client = createClient(Health, createGrpcTransport({ baseUrl: `http://${servers[server]}` }))
  const headers = new Headers()
  for (const value of values) headers.append('x-bin', encodeBinaryHeader(value))
  told = ''
  const answer = await client.check({}, { headers }).then(() => 'OK', (err) => err.message)
  await new Promise((later) => setTimeout(later, 100))
  console.log(`connect-node, calling, to ${server}: ${answer}; it got ${told || 'no call'}`)
}
goServer.kill()
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
