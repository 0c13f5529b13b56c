#!/usr/bin/env bash
# A load balancer uses the PROXY protocol to tell a server where a connection comes from. For its own connections, such
# as health checks, it sends "PROXY UNKNOWN", which any text may follow, or the command LOCAL in version 2. The server
# then uses the real addresses. Version 2 may have fields after the addresses; a server that does not know them skips
# them (proxy-protocol.txt of HAProxy, 2.1, 2.2 and 2.2.1).
#
# Guessed: pires/go-proxyproto 0.11.0, armon/go-proxyproto (of March 2021) and mastercactapus/proxyprotocol 0.0.4 accept
# all of this, armon's version 1 only. Seen: armon refuses UNKNOWN unless you ask for it by UnknownOK. mastercactapus
# takes it for a connection from ":0". It also refuses everything that has a field after the addresses, although cloud
# load balancers use such fields to name the owner of an endpoint. pires accepts everything.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
pires: version 1, TCP4: from 10.1.2.3:8080
pires: version 1, UNKNOWN: from the real address
pires: version 1, UNKNOWN with addresses: from the real address
pires: version 2, TCP4: from 10.1.2.3:8080
pires: version 2, TCP4 and a field: from 10.1.2.3:8080
pires: version 2, LOCAL: from the real address
pires: version 2, LOCAL and a field: from the real address
armon: version 1, TCP4: from 10.1.2.3:8080
armon: version 1, UNKNOWN: refused
armon: version 1, UNKNOWN with addresses: refused
mastercactapus: version 1, TCP4: from 10.1.2.3:8080
mastercactapus: version 1, UNKNOWN: from :0
mastercactapus: version 1, UNKNOWN with addresses: from :0
mastercactapus: version 2, TCP4: from 10.1.2.3:8080
mastercactapus: version 2, TCP4 and a field: refused
mastercactapus: version 2, LOCAL: from the real address
mastercactapus: version 2, LOCAL and a field: refused
END
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/armon/go-proxyproto v0.0.0-20210323213023-7e956b284f0a
	github.com/mastercactapus/proxyprotocol v0.0.4
	github.com/pires/go-proxyproto v0.11.0
)
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	armon "github.com/armon/go-proxyproto"
	mastercactapus "github.com/mastercactapus/proxyprotocol"
	pires "github.com/pires/go-proxyproto"
)

func v2(command, family byte, body string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{0x20 | command, family, 0, byte(len(body))}) + body
}

func main() {
	any6 := strings.Repeat("ffff:", 7) + "ffff"
	addresses := "\x0a\x01\x02\x03\x0a\x01\x02\x04\x1f\x90\x00\x50" // 10.1.2.3:8080 to 10.1.2.4:80
	field := "\xe0\x00\x02ab"                                     // a type of the sender's own
	headers := []struct{ name, bytes string }{
		{"1, TCP4", "PROXY TCP4 10.1.2.3 10.1.2.4 8080 80\r\n"},
		{"1, UNKNOWN", "PROXY UNKNOWN\r\n"},
		{"1, UNKNOWN with addresses", "PROXY UNKNOWN " + any6 + " " + any6 + " 65535 65535\r\n"},
		{"2, TCP4", v2(1, 0x11, addresses)},
		{"2, TCP4 and a field", v2(1, 0x11, addresses+field)},
		{"2, LOCAL", v2(0, 0, "")},
		{"2, LOCAL and a field", v2(0, 0, field)},
	}
	for _, lib := range []struct {
		name   string
		listen func(net.Listener) net.Listener
	}{
		{"pires", func(l net.Listener) net.Listener { return &pires.Listener{Listener: l} }},
		{"armon", func(l net.Listener) net.Listener { return &armon.Listener{Listener: l} }},
		{"mastercactapus", func(l net.Listener) net.Listener { return mastercactapus.NewListener(l, time.Second) }},
	} {
		plain, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		listener := lib.listen(plain)
		for _, header := range headers {
			if lib.name == "armon" && header.name[0] == '2' {
				continue
			}
			client, err := net.Dial("tcp", plain.Addr().String())
			if err != nil {
				panic(err)
			}
			fmt.Fprint(client, header.bytes, "hello")
			client.(*net.TCPConn).CloseWrite()
			server, err := listener.Accept()
			if err != nil {
				panic(err)
			}
			got, err := io.ReadAll(server)
			from := server.RemoteAddr().String()
			if from == client.LocalAddr().String() {
				from = "the real address"
			}
			if err != nil || string(got) != "hello" {
				fmt.Printf("%s: version %s: refused\n", lib.name, header.name)
			} else {
				fmt.Printf("%s: version %s: from %s\n", lib.name, header.name, from)
			}
			client.Close()
			server.Close()
		}
	}
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 30 ./main >have
diff want have
cat have
