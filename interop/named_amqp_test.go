package interop

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/squall-sim/squall/sim"
)

// serveAMQP is as much of a broker of AMQP 0-9-1 as one publisher with confirms needs: it takes what is published to it, and confirms it.
func serveAMQP(_ *testing.T, _ *sim.Network, server *sim.Host, work func(string)) {
	process(server, "amqp", ":5672", func(_ context.Context, l *sim.TCPListener) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				(&amqpConn{c: c, in: bufio.NewReader(c), work: work}).serve()
			}()
		}
	})
}

type amqpConn struct {
	c        net.Conn
	in       *bufio.Reader
	work     func(string)
	body     []byte
	left     uint64 // of the message
	messages uint64
}

// Frames, section 4.2.3 of the specification, and methods, by class and number.
const (
	amqpMethod, amqpHeader, amqpBody, amqpHeartbeat = 1, 2, 3, 8
	amqpFrameEnd                                    = 0xce

	connectionStart, connectionStartOK = 10<<16 | 10, 10<<16 | 11
	connectionTune, connectionTuneOK   = 10<<16 | 30, 10<<16 | 31
	connectionOpen, connectionOpenOK   = 10<<16 | 40, 10<<16 | 41
	connectionClose, connectionCloseOK = 10<<16 | 50, 10<<16 | 51
	channelOpen, channelOpenOK         = 20<<16 | 10, 20<<16 | 11
	channelClose, channelCloseOK       = 20<<16 | 40, 20<<16 | 41
	confirmSelect, confirmSelectOK     = 85<<16 | 10, 85<<16 | 11
	basicPublish, basicAck             = 60<<16 | 40, 60<<16 | 80
)

func (a *amqpConn) serve() error {
	if _, err := a.in.Discard(8); err != nil { // the protocol's name and version
		return err
	}
	long := func(text string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	}
	start := append([]byte{0, 9}, long("")...) // version, no properties
	start = append(append(start, long("PLAIN")...), long("en_US")...)
	if err := a.method(0, connectionStart, start); err != nil {
		return err
	}
	for {
		var head [7]byte
		if _, err := io.ReadFull(a.in, head[:]); err != nil {
			return err
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(a.in, payload); err != nil {
			return err
		}
		payload = payload[:len(payload)-1]
		if err := a.frame(head[0], binary.BigEndian.Uint16(head[1:]), payload); err != nil {
			return err
		}
	}
}

func (a *amqpConn) frame(kind byte, channel uint16, payload []byte) error {
	switch kind {
	case amqpMethod:
		return a.called(channel, binary.BigEndian.Uint32(payload))
	case amqpHeader:
		a.body, a.left = nil, binary.BigEndian.Uint64(payload[4:])
	case amqpBody:
		a.body, a.left = append(a.body, payload...), a.left-uint64(len(payload))
		if a.left > 0 {
			return nil
		}
		a.work(string(a.body))
		a.messages++
		return a.method(channel, basicAck, append(binary.BigEndian.AppendUint64(nil, a.messages), 0))
	case amqpHeartbeat:
		return a.write(amqpHeartbeat, 0, nil)
	}
	return nil
}

func (a *amqpConn) called(channel uint16, method uint32) error {
	switch method {
	case connectionStartOK:
		return a.method(0, connectionTune, []byte{0, 0, 0, 2, 0, 0, 0, 10}) // any number of channels, frames of 128 KiB, a heartbeat each 10 s
	case connectionOpen:
		return a.method(0, connectionOpenOK, []byte{0})
	case connectionClose:
		a.method(0, connectionCloseOK, nil)
		return io.EOF
	case channelOpen:
		return a.method(channel, channelOpenOK, []byte{0, 0, 0, 0})
	case channelClose:
		return a.method(channel, channelCloseOK, nil)
	case confirmSelect:
		return a.method(channel, confirmSelectOK, nil)
	case connectionTuneOK, basicPublish:
	}
	return nil
}

func (a *amqpConn) method(channel uint16, method uint32, arguments []byte) error {
	return a.write(amqpMethod, channel, append(binary.BigEndian.AppendUint32(nil, method), arguments...))
}

func (a *amqpConn) write(kind byte, channel uint16, payload []byte) error {
	frame := binary.BigEndian.AppendUint16([]byte{kind}, channel)
	frame = append(binary.BigEndian.AppendUint32(frame, uint32(len(payload))), payload...)
	_, err := a.c.Write(append(frame, amqpFrameEnd))
	return err
}

var errNotConfirmed = errors.New("not confirmed")

// dialAMQP publishes, and waits for the confirmation.
func dialAMQP(t *testing.T, _ *sim.Network, phone *sim.Host) caller {
	var ch *amqp.Channel
	return func(ctx context.Context, text string) error {
		if ch == nil {
			conn, err := amqp.DialConfig("amqp://guest:guest@server:5672/", amqp.Config{Dial: phone.Dial})
			if err != nil {
				return err
			}
			t.Cleanup(func() { conn.Close() })
			if ch, err = conn.Channel(); err != nil {
				return err
			}
			if err := ch.Confirm(false); err != nil {
				return err
			}
		}
		confirmation, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", "news", false, false, amqp.Publishing{Body: []byte(text)})
		if err != nil {
			return err
		}
		acked, err := confirmation.WaitContext(ctx)
		if err == nil && !acked {
			err = errNotConfirmed
		}
		return err
	}
}
