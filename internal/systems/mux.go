package systems

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/mux"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// Mux is a service whose calls are streams of one session: a question with its length, and an answer with
// its kind and length. Who gives a call up resets its stream.
func Mux(*sim.Network) patterntest.Service {
	// What happens at one instant, or a nanosecond later, goes together: otherwise the runtime decides what does.
	config := mux.Config{KeepAlive: 5 * time.Second, Timeout: 5 * time.Second, Linger: 777 * time.Nanosecond}
	return patterntest.Service{
		Serve: func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
			return muxServer{config, app}.serve(ctx, h)
		},
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			c := &mux.Client{Addr: servers[0] + ":80", DialContext: h.DialContext, Config: config}
			context.AfterFunc(ctx, func() { c.Close() })
			return muxCaller{c}.ask
		},
		Detects: config.KeepAlive + config.Timeout + 100*time.Millisecond, // and a round trip
		Cancels: true,
		Drains:  true,
	}
}

const (
	muxDone    = 0
	muxRefused = 1 // the application did nothing
	muxFailed  = 2
)

type muxServer struct {
	config mux.Config
	app    *patterntest.App
}

func (m muxServer) serve(ctx context.Context, h *sim.Host) error {
	l, err := h.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
		sessions.Go(func() { m.session(ctx, m.config.Server(conn)) })
	}
}

// session serves the streams of a session until that ends, or the server is asked to.
func (m muxServer) session(ctx context.Context, s *mux.Session) {
	stop := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.Background(), 9*time.Second)
		defer cancel()
		if s.Drain(limit) != nil {
			s.Close()
		}
	})
	defer stop()
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		st, err := s.AcceptStream(context.Background())
		if err != nil {
			break
		}
		streams.Go(func() {
			defer st.Close()
			m.answer(st)
		})
	}
	<-s.Done()
}

func (m muxServer) answer(st *mux.Stream) {
	in := bufio.NewReader(st)
	question, err := muxRead(in)
	if err != nil {
		return // it was cut short
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // the client says nothing more: it gives up, or closes
		in.ReadByte()
		cancel()
	}()
	answer, err := m.app.Do(ctx, question)
	kind := byte(muxDone)
	if refusal := (*patterntest.Refusal)(nil); errors.As(err, &refusal) {
		kind = muxRefused
	} else if err != nil {
		kind = muxFailed
	}
	st.Write(muxAppend([]byte{kind}, answer))
}

type muxCaller struct{ client *mux.Client }

func (m muxCaller) ask(ctx context.Context, r patterntest.Request) (string, error) {
	st, err := m.client.Open(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset(0) })()
	answer, err := m.over(st, r.Data)
	switch {
	case err != nil && ctx.Err() != nil:
		return "", context.Cause(ctx)
	case mux.Unprocessed(err):
		return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
	}
	return answer, err
}

func (m muxCaller) over(st *mux.Stream, question string) (string, error) {
	if _, err := st.Write(muxAppend(nil, question)); err != nil {
		return "", err
	}
	in := bufio.NewReader(st)
	kind, err := in.ReadByte()
	if err != nil {
		return "", err
	}
	answer, err := muxRead(in)
	switch {
	case err != nil:
		return "", err
	case kind == muxRefused:
		return "", fmt.Errorf("%w: the application refused it", patterntest.ErrNotExecuted)
	case kind != muxDone:
		return "", errors.New("the server failed")
	}
	return answer, nil
}

func muxAppend(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func muxRead(in *bufio.Reader) (string, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return "", err
	}
	if n > 1<<20 {
		return "", fmt.Errorf("%d bytes: want at most 1 MiB", n)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(in, text); err == io.EOF {
		return "", io.ErrUnexpectedEOF
	} else if err != nil {
		return "", err
	}
	return string(text), nil
}
