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

// Mux is a service whose calls are streams of one session. A call consists of its kind, and a question with its length. An answer has a kind
// and, unless it is a stream itself, a length. A client that gives a call up resets its stream, and so does a server that cannot finish an
// answer.
func Mux(*sim.Network) patterntest.Service {
	// Data written at one instant, or a nanosecond later, is sent together. Otherwise the runtime would decide which data is.
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
		Detects: config.KeepAlive + config.Timeout + 100*time.Millisecond, // plus a round trip
		Cancels: true,
		Drains:  true,
		Streams: &patterntest.Streams{Halves: true},
	}
}

// The kinds of calls.
const (
	muxPlain  = 0
	muxStream = 1 // the answer is a stream
)

// The kinds of answers.
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

// session serves the streams of a session until the session ends or the server has to stop.
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
	kind, err := in.ReadByte()
	if err != nil {
		return // the stream was cut short
	}
	question, err := muxRead(in)
	if err != nil {
		return
	}
	if kind == muxStream {
		m.stream(st, in, question)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // the client sends nothing more: it gives up, or closes
		in.ReadByte()
		cancel()
	}()
	answer, err := m.app.Do(ctx, question)
	kind = muxDone
	if refusal := (*patterntest.Refusal)(nil); errors.As(err, &refusal) {
		kind = muxRefused
	} else if err != nil {
		kind = muxFailed
	}
	st.Write(muxAppend([]byte{kind}, answer))
}

// stream answers a question by a stream, and at the same time reads the rest of the question.
func (m muxServer) stream(st *mux.Stream, in io.Reader, question string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // the client has sent everything, and gives up
		select {
		case <-st.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	out := &muxParts{st: st}
	err := m.app.Stream(ctx, question, in, out)
	refusal := (*patterntest.Refusal)(nil)
	switch {
	case errors.As(err, &refusal) && !out.begun:
		st.Write([]byte{muxRefused})
	case err != nil:
		st.Reset(0)
	default:
		out.Write(nil)
	}
}

// muxParts is an answer, preceded by its kind.
type muxParts struct {
	st    *mux.Stream
	begun bool
}

func (o *muxParts) Write(p []byte) (int, error) {
	if !o.begun {
		o.begun = true
		if _, err := o.st.Write([]byte{muxDone}); err != nil {
			return 0, err
		}
	}
	return o.st.Write(p)
}

type muxCaller struct{ client *mux.Client }

func (m muxCaller) ask(ctx context.Context, r patterntest.Request) (string, error) {
	st, err := m.client.Open(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset(0) })()
	over := m.over
	if r.Into != nil {
		over = m.streamOver
	}
	answer, err := over(st, r)
	switch {
	case err != nil && ctx.Err() != nil:
		return "", context.Cause(ctx)
	case mux.Unprocessed(err):
		return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
	}
	return answer, err
}

func (m muxCaller) over(st *mux.Stream, r patterntest.Request) (string, error) {
	if _, err := st.Write(muxAppend([]byte{muxPlain}, r.Data)); err != nil {
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

// streamOver reads a stream, and at the same time sends the rest of the question.
func (m muxCaller) streamOver(st *mux.Stream, r patterntest.Request) (string, error) {
	if _, err := st.Write(muxAppend([]byte{muxStream}, r.Data)); err != nil {
		return "", err
	}
	if r.More != nil {
		go func() { // until the question ends, or nobody reads it
			if _, err := io.Copy(st, r.More); err == nil {
				st.CloseWrite()
			}
		}()
	}
	var kind [1]byte
	if _, err := io.ReadFull(st, kind[:]); err != nil {
		return "", err
	}
	if kind[0] == muxRefused {
		return "", fmt.Errorf("%w: the application refused it", patterntest.ErrNotExecuted)
	}
	_, err := io.Copy(r.Into, st)
	return "", err
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
