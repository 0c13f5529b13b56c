package unchanged

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A peer is an ICE agent on a host behind a NAT of its own, as the two browsers of a WebRTC call are.
type peer struct {
	host       *sim.Host
	agent      *ice.Agent
	user, pass string
	candidates []string
	gathered   chan struct{}
	states     []ice.ConnectionState
	at         []time.Duration // when the connection got there
}

// open makes the peer's agent and waits for its candidates: its own address, and the one that the STUN server sees.
func (p *peer) open(n *sim.Network, server string) (err error) {
	<-p.host.Go(func() {
		var uri *stun.URI
		if uri, err = stun.ParseURI("stun:" + server); err != nil {
			return
		}
		p.agent, err = ice.NewAgent(&ice.AgentConfig{Urls: []*stun.URI{uri}, NetworkTypes: []ice.NetworkType{ice.NetworkTypeUDP4}, MulticastDNSMode: ice.MulticastDNSModeDisabled})
		if err != nil {
			return
		}
		p.agent.OnCandidate(func(c ice.Candidate) {
			if c == nil {
				close(p.gathered)
				return
			}
			p.candidates = append(p.candidates, c.Marshal())
		})
		p.agent.OnConnectionStateChange(func(s ice.ConnectionState) {
			p.states, p.at = append(p.states, s), append(p.at, n.Elapsed())
		})
		if err = p.agent.GatherCandidates(); err == nil {
			p.user, p.pass, err = p.agent.GetLocalUserCredentials()
		}
	})
	if err == nil {
		<-p.gathered
	}
	return err
}

// learn takes the other's candidates, which a call gets by signalling.
func (p *peer) learn(other *peer) error {
	for _, text := range other.candidates {
		c, err := ice.UnmarshalCandidate(text)
		if err == nil {
			err = p.agent.AddRemoteCandidate(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// serveSTUN tells whoever asks under which address it is seen.
func serveSTUN(ctx context.Context, h *sim.Host) error {
	pc, err := net.ListenPacket("udp4", ":3478")
	if err != nil {
		return err
	}
	s, err := turn.NewServer(turn.ServerConfig{PacketConnConfigs: []turn.PacketConnConfig{{
		PacketConn:            pc,
		RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: h.Addr().AsSlice(), Address: "0.0.0.0"},
	}}})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return s.Close()
}

// Two agents, each behind a NAT, reach each other: their checks open the way through both (RFC 8445, section 7). An outage of 10 s disconnects them
// 5 s after the last packet (ice.AgentConfig.DisconnectedTimeout), and they connect again; one of a minute fails them 25 s after that
// (FailedTimeout). The agent sends a check every 2 s, and looks for what has come as often. Its identifiers come from a generator in a package
// variable.
func TestICEThroughTwoNATs(t *testing.T) {
	alikeButPayloads(t, func(n *sim.Network) (outcome string, err error) {
		link := netem.Config{Delay: 10 * time.Millisecond}
		core, server := n.Router("core"), n.Host("stun")
		n.Link(server, core, link)
		server.Run("stun", serveSTUN)
		var peers []*peer
		var up *sim.Link
		for _, name := range []string{"anna", "bert"} {
			p := &peer{host: n.Host(name), gathered: make(chan struct{})}
			home := n.Router(name + "-nat")
			n.Link(p.host, home, link)
			up = n.Link(home, core, link)
			home.NAT(sim.NATConfig{}, p.host)
			if err := p.open(n, server.Addr().String()+":3478"); err != nil {
				return "", err
			}
			defer p.agent.Close()
			peers = append(peers, p)
		}
		anna, bert := peers[0], peers[1]
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		bert.host.Go(func() {
			if c, err := bert.agent.Accept(ctx, anna.user, anna.pass); err == nil {
				io.Copy(c, c)
			}
		})
		if err := anna.learn(bert); err != nil {
			return "", err
		}
		if err := bert.learn(anna); err != nil {
			return "", err
		}
		var c *ice.Conn
		<-anna.host.Go(func() { c, err = anna.agent.Dial(ctx, bert.user, bert.pass) })
		if err != nil {
			return "", err
		}
		echoed := make([]byte, 5)
		if _, err = c.Write([]byte("hello")); err == nil {
			_, err = io.ReadFull(c, echoed)
		}
		if err != nil {
			return "", err
		}
		if string(echoed) != "hello" {
			return "", fmt.Errorf("the echo is %q", echoed)
		}
		first := n.Elapsed()
		up.Down()
		time.Sleep(10 * time.Second)
		up.Up()
		time.Sleep(20 * time.Second)
		second := n.Elapsed()
		up.Down()
		time.Sleep(time.Minute)
		if got := fmt.Sprint(anna.states); got != "[Checking Connected Disconnected Connected Disconnected Failed]" {
			return "", fmt.Errorf("the states were %s", got)
		}
		for _, span := range []struct {
			what        string
			took, least time.Duration
		}{
			{"to disconnect", anna.at[2] - first, 3 * time.Second}, {"to connect again", anna.at[3] - first - 10*time.Second, 0},
			{"to disconnect again", anna.at[4] - second, 3 * time.Second}, {"to fail", anna.at[5] - anna.at[4], 25 * time.Second},
		} {
			if span.took < span.least || span.took > span.least+4*time.Second {
				err = errors.Join(err, fmt.Errorf("it took %v %s, of at least %v and at most 4 s more", span.took, span.what, span.least))
			}
		}
		return fmt.Sprint(anna.states, anna.at), err
	})
}
