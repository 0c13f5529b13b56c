#!/usr/bin/env bash
# A gRPC call sends its deadline in grpc-timeout: up to 8 digits and a unit, so that a longer time needs a larger unit
# (PROTOCOL-HTTP2, "TimeoutValue"). 28 hours do not fit into milliseconds. Watches and other streams that stay open for
# days have such deadlines.
#
# Guessed: @grpc/grpc-js 1.14.7 and connect-node 2.1.2, servers and clients, work with deadlines of 28 hours and 20
# days; those of connect-node fail at 30 days, for which JavaScript has no timer. Seen: connect-node's client sends nine
# digits from 28 hours on, which Go's server refuses (HTTP 400). Its server is right. grpc-js's server treats 30 days as
# a time that has passed (the milliseconds become a signed number of 32 bits), and 60 days as 10.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
grpc-go to grpc-js: 27 hours OK, 28 hours OK, 20 days OK, 30 days DeadlineExceeded, 60 days OK
grpc-go to connect-node: 27 hours OK, 28 hours OK, 20 days OK, 30 days OK, 60 days OK
grpc-js to grpc-go: 27 hours OK, 28 hours OK, 20 days OK, 30 days OK, 60 days OK
connect-node to grpc-go: 27 hours OK, 28 hours [internal] HTTP 400, 20 days [internal] HTTP 400, 30 days [deadline_exceeded] the operation timed out, 60 days [deadline_exceeded] the operation timed out
END
npm install --silent --no-fund --no-audit --prefix . @grpc/grpc-js@1.14.7 @connectrpc/connect@2.1.2 @connectrpc/connect-node@2.1.2 \
  @bufbuild/protobuf@2.17.0 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
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
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	pb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
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
		pb.RegisterHealthServer(s, health.NewServer())
		check(s.Serve(l))
	case "call":
		timeout, err := time.ParseDuration(os.Args[3])
		check(err)
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		conn, err := grpc.NewClient(os.Args[2], grpc.WithTransportCredentials(insecure.NewCredentials()))
		check(err)
		_, err = pb.NewHealthClient(conn).Check(ctx, &pb.HealthCheckRequest{})
		fmt.Println(status.Code(err))
	}
}
END
cat >main.mjs <<'END'
import http2 from 'node:http2'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import * as grpc from '@grpc/grpc-js'
import { fileDesc, serviceDesc } from '@bufbuild/protobuf/codegenv2'
import { createClient } from '@connectrpc/connect'
import { connectNodeAdapter, createGrpcTransport } from '@connectrpc/connect-node'

const go = async (...args) => (await promisify(execFile)('./main', args)).stdout.trim()
const soon = () => new Promise((later) => setTimeout(later, 100))
const path = '/grpc.health.v1.Health/Check'
const raw = (data) => data
const service = { Check: { path, requestSerialize: raw, requestDeserialize: raw, responseSerialize: raw, responseDeserialize: raw } }

const grpcServer = new grpc.Server()
grpcServer.addService(service, { Check: (call, done) => soon().then(() => done(null, Buffer.of(8, 1))) })
const port = await promisify(grpcServer.bindAsync.bind(grpcServer))('127.0.0.1:0', grpc.ServerCredentials.createInsecure())
const Health = serviceDesc(fileDesc(await go('describe')), 0)
const check = async () => { await soon(); return { status: 1 } }
const connectServer = http2.createServer(connectNodeAdapter({ routes: (router) => router.service(Health, { check }) })).listen(0, '127.0.0.1')
await once(connectServer, 'listening')
const goServer = spawn('./main', ['serve'], { stdio: ['ignore', 'pipe', 'inherit'] })
const at = String((await once(goServer.stdout, 'data'))[0]).trim()

const grpcClient = new (grpc.makeClientConstructor(service))(at, grpc.credentials.createInsecure())
const connectClient = createClient(Health, createGrpcTransport({ baseUrl: `http://${at}` }))
const calls = {
  'grpc-go to grpc-js': (hours) => go('call', `127.0.0.1:${port}`, `${hours}h`),
  'grpc-go to connect-node': (hours) => go('call', `127.0.0.1:${connectServer.address().port}`, `${hours}h`),
  'grpc-js to grpc-go': (hours) => new Promise((told) => {
    grpcClient.Check(Buffer.alloc(0), { deadline: Date.now() + hours * 3_600_000 }, (err) => told(err ? err.message : 'OK'))
  }),
  'connect-node to grpc-go': (hours) => connectClient.check({}, { timeoutMs: hours * 3_600_000 }).then(() => 'OK', (err) => err.message),
}
for (const [name, call] of Object.entries(calls)) {
  const told = []
  for (const [time, hours] of [['27 hours', 27], ['28 hours', 28], ['20 days', 480], ['30 days', 720], ['60 days', 1440]]) {
    told.push(`${time} ${await call(hours)}`)
  }
  console.log(`${name}: ${told.join(', ')}`)
}
goServer.kill()
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
