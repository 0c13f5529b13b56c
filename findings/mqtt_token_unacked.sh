#!/usr/bin/env bash
# An MQTT PUBLISH with QoS 1 has arrived when its PUBACK comes back. Until then its sender must keep it and send it
# again on the session's next connection (MQTT 3.1.1, 4.3.2 and 4.4). A client reports the arrival to its program
# through a token.
#
# Guessed: while the connection is lost and made again, the token stays open until there is a PUBACK. Seen:
# paho.mqtt.golang 1.5.1 completes it without an error as soon as the connection is made again. It then sends the
# message again with a new token that nobody holds (claimID in messageids.go completes the token that has the number).
# The broker here acknowledges nothing at all.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
on connection 1: CONNECT, PUBLISH
on connection 2: CONNECT, PUBLISH
acknowledged: 0; the token: done true, error <nil>
END
cat >go.mod <<'END'
module finding

go 1.26

require github.com/eclipse/paho.mqtt.golang v1.5.1
END
cat >main.go <<'END'
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// packet reads one packet and returns its type.
func packet(r *bufio.Reader) (byte, error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	length, err := binary.ReadUvarint(r) // seven bits a byte, the lowest first
	if err != nil {
		return 0, err
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return first >> 4, err
}

// broker closes the first connection after a PUBLISH, and is silent about that of the second.
func broker(l net.Listener, got chan<- string) {
	for nth := 1; nth <= 2; nth++ {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		var names []string
		for r := bufio.NewReader(c); len(names) < 2; {
			switch kind, err := packet(r); {
			case err != nil:
				panic(err)
			case kind == 1:
				names = append(names, "CONNECT")
				c.Write([]byte{0x20, 2, byte(nth - 1), 0}) // the second time the session is there
			case kind == 3:
				names = append(names, "PUBLISH")
			}
		}
		if nth == 1 {
			c.Close()
		}
		got <- fmt.Sprintf("on connection %d: %s", nth, strings.Join(names, ", "))
	}
}

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	got := make(chan string, 2)
	go broker(l, got)
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + l.Addr().String()).SetClientID("a").SetCleanSession(false))
	if t := client.Connect(); t.Wait() && t.Error() != nil {
		panic(t.Error())
	}
	token := client.Publish("topic", 1, false, "hello")
	fmt.Println(<-got)
	fmt.Println(<-got)
	fmt.Printf("acknowledged: 0; the token: done %t, error %v\n", token.WaitTimeout(5*time.Second), token.Error())
}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
go run . >have
diff want have
cat have
