package reqresp

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// What is written is read again, of every kind, and what another version writes is refused.
func TestWire(t *testing.T) {
	head := requestHead{"POST", "/a?b=c", http.Header{"X": {"1", "2"}}}
	text, err := appendMessage(nil, frameRequest, 7, head, []byte("body"))
	require.NoError(t, err)
	// Version 1, to the byte.
	require.Equal(t, "\x00\x00\x00\x42\x01\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x3a"+
		`{"method":"POST","path":"/a?b=c","header":{"X":["1","2"]}}`+"body", string(text))
	f, err := readFrame(bytes.NewReader(text), 100, func() {})
	require.NoError(t, err)
	r, body, err := f.request(100)
	require.NoError(t, err)
	require.Equal(t, "POST /a?b=c", r.Method+" "+r.URL.RequestURI())
	require.Equal(t, []string{"1", "2"}, r.Header["X"])
	require.Equal(t, "body", string(body))
	require.Equal(t, uint64(7), f.id)

	for cut := range len(text) {
		_, err := readFrame(bytes.NewReader(text[:cut]), 100, func() {})
		if cut == 0 {
			require.Equal(t, io.EOF, err)
		} else {
			require.Equal(t, io.ErrUnexpectedEOF, err, "cut at %d", cut)
		}
	}
	require.ErrorContains(t, readPreface(strings.NewReader("squall reqresp 2\n")), "want")
	require.ErrorIs(t, readPreface(strings.NewReader("squall")), io.ErrUnexpectedEOF)
}

// Names of headers that differ in case alone are one name, on a connection too: neither value is lost, nor chosen by chance.
func TestHeadersThatDifferInCase(t *testing.T) {
	text, err := appendMessage(nil, frameRequest, 1, requestHead{"POST", "/", http.Header{
		"Idempotency-Key": {"b"}, "idempotency-key": {"c"}, "IDEMPOTENCY-KEY": {"a"}, "x": {"1"},
	}}, nil)
	require.NoError(t, err)
	f, err := readFrame(bytes.NewReader(text), 100, func() {})
	require.NoError(t, err)
	r, _, err := f.request(100)
	require.NoError(t, err)
	require.Equal(t, http.Header{HeaderKey: {"a", "b", "c"}, "X": {"1"}}, r.Header)
	_, err = parseKey(r.Header)
	require.ErrorContains(t, err, "comes 3 times")

	all := http.Header{"X": {"old"}, "Y": {"old"}}
	add(all, http.Header{"x": {"2"}, "X": {"1"}})
	require.Equal(t, http.Header{"X": {"1", "2"}, "Y": {"old"}}, all, "what is added replaces, and stays together")
}

func TestFramesThatAreNone(t *testing.T) {
	message := func(kind byte, head string, body string) []byte {
		payload := append([]byte{0, 0, 0, byte(len(head))}, head+body...)
		return appendFrame(nil, kind, 1, payload)
	}
	for _, row := range []struct {
		reason string
		text   []byte
		want   string
	}{
		{"of no kind", appendFrame(nil, 0, 1, nil), "frame of kind 0"},
		{"of a kind to come", appendFrame(nil, frameKinds, 1, nil), "frame of kind 7"},
		{"a ping with a payload", appendFrame(nil, framePing, 0, []byte("x")), "want none"},
		{"without a head", appendFrame(nil, frameRequest, 1, []byte("abc")), "too short"},
		{"a head longer than the frame", appendFrame(nil, frameRequest, 1, []byte{0, 0, 0, 9, '{', '}'}), "head of 9 bytes"},
		{"a head that is none", message(frameRequest, "[]", ""), "head:"},
		{"a path without a slash", message(frameRequest, `{"method":"GET","path":"a"}`, ""), "begins with a slash"},
		{"a path with a NUL", message(frameRequest, `{"method":"GET","path":"/a\u0000"}`, ""), "path"},
		{"a method that is none", message(frameRequest, `{"method":"G T","path":"/"}`, ""), "method"},
		{"a body that is too long", message(frameRequest, `{"method":"GET","path":"/"}`, strings.Repeat("x", 101)), "more than 100 bytes"},
		{"a status that is none", message(frameAnswer, `{"status":199}`, ""), "status is 199: want 200 to 599"},
	} {
		f, err := readFrame(bytes.NewReader(row.text), 100, func() {})
		if err == nil && f.kind == frameAnswer {
			_, err = f.answer(100)
		} else if err == nil {
			_, _, err = f.request(100)
		}
		require.ErrorContains(t, err, row.want, row.reason)
	}
	long := appendFrame(nil, frameRequest, 1, make([]byte, 4+maxHeadBytes+101))
	f, err := readFrame(bytes.NewReader(append(long, 'x')), 100, func() {})
	require.NoError(t, err)
	require.True(t, f.tooLong)
	_, _, err = f.request(100)
	require.ErrorIs(t, err, eventlog.ErrTooLarge)
}

// What net/http refuses in a head is refused over Serve with the same status, and the connection goes on, on which other calls wait. A key
// with other bytes than printable ASCII is the draft's 400.
func TestBadHeadsAreAnswered(t *testing.T) {
	executed := 0
	s := &Server{Handle: func(context.Context, *Request) (Effect, error) { executed++; return nil, nil }}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(l) })
	defer serving.Wait()
	defer s.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	io.WriteString(conn, preface)
	require.NoError(t, readPreface(conn))
	good, header := `"method":"POST","path":"/"`, func(h string) string { return `"method":"POST","path":"/","header":{` + h + `}` }
	for i, row := range []struct {
		head   string
		status int
		text   string
	}{
		{`"method":"POST /x","path":"/"`, 400, `method is "POST /x": want a token`},
		{`"method":"POST"`, 400, `path is "": want one that begins with a slash`},
		{`"method":"POST","path":"http://other/"`, 400, `path is "http://other/": want one that begins with a slash`},
		{`"method":"POST","path":"/a\nb"`, 400, `path is "/a\nb": net/url: invalid control character in URL`},
		{`"method":"POST","path":"/%zz"`, 400, `path is "/%zz": invalid URL escape "%zz"`},
		{good, 200, ""},
		{header("\"Idempotency-Key\":[\"k\xff\"]"), 400, "head is not UTF-8"},
		{header(`"Idempotency-Key":["k\u00e9"]`), 400, "Idempotency-Key has byte 0xc3: want printable ASCII"},
		{header(`"Idempotency-Key":["a","b"]`), 400, "Idempotency-Key comes 2 times: want one"},
		{header(`"X":["a\r\nY: b"]`), 400, `X is "a\r\nY: b": want UTF-8 without control characters`},
		{header(`"X Y":["a"]`), 400, `header name "X Y": want a token`},
		{header(`"":["a"]`), 400, `header name "": want a token`},
		{header(`"X":["caf\u00e9"],"Idempotency-Key":["\"k\""]`), 200, ""},
	} {
		head := "{" + row.head + "}"
		_, err := conn.Write(appendFrame(nil, frameRequest, uint64(i), append([]byte{0, 0, 0, byte(len(head))}, head...)))
		require.NoError(t, err)
		f, err := readFrame(conn, 1000, func() {})
		require.NoError(t, err)
		require.EqualValues(t, i, f.id)
		answer, err := f.answer(1000)
		require.NoError(t, err)
		require.Equal(t, row.status, answer.Status, row.head)
		require.Contains(t, string(answer.Body), row.text)
		if row.status == 400 {
			require.Equal(t, saysNotExecuted, answer.Header.Get(HeaderOutcome))
		}
	}
	require.Equal(t, 2, executed)
	_, err = appendMessage(nil, frameRequest, 1, requestHead{"GET", "/", http.Header{"X": {"caf\xe9"}}}, nil)
	require.ErrorContains(t, err, `X is "caf\xe9": want UTF-8`, "it would arrive as another")
}

// A client that has gone when it is accepted is greeted all the same, so that what is on the wire does not hang on which of two goroutines
// comes first.
func TestAClientThatHasGoneIsGreeted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &goneConn{}
		s := &Server{Handle: func(context.Context, *Request) (Effect, error) { return nil, nil }}
		l := &oneConn{conn: c, closed: make(chan struct{})}
		var serving sync.WaitGroup
		serving.Go(func() { s.Serve(l) })
		time.Sleep(time.Second)
		require.NoError(t, s.Close())
		serving.Wait()
		require.Equal(t, preface, c.took.String())
		require.True(t, c.closed.Load())
	})
}

// A goneConn is the connection of a client that has gone without a word. Whoever writes to it is slow to begin.
type goneConn struct {
	net.Conn
	closed atomic.Bool
	took   strings.Builder
}

func (c *goneConn) Read([]byte) (int, error)        { return 0, io.EOF }
func (c *goneConn) SetReadDeadline(time.Time) error { return nil }
func (c *goneConn) RemoteAddr() net.Addr            { return &net.TCPAddr{} }
func (c *goneConn) Close() error                    { c.closed.Store(true); return nil }

func (c *goneConn) SetWriteDeadline(time.Time) error {
	time.Sleep(time.Millisecond)
	return nil
}

func (c *goneConn) Write(p []byte) (int, error) {
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	return c.took.Write(p)
}

// A oneConn listens for one connection.
type oneConn struct {
	conn   net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// Whatever comes, no more is kept than may be, and what is understood is what was sent.
func FuzzFrame(f *testing.F) {
	text, _ := appendMessage(nil, frameRequest, 7, requestHead{"POST", "/a", http.Header{"X": {"1"}}}, []byte("body"))
	f.Add(text)
	text, _ = appendMessage(nil, frameAnswer, 1, answerHead{200, nil}, nil)
	f.Add(text)
	f.Add(appendFrame(nil, framePing, 0, nil))
	f.Add([]byte("\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		const most = 64
		fr, err := readFrame(bytes.NewReader(text), most, func() {})
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(fr.payload), 4+maxHeadBytes+most)
		if r, body, err := fr.request(most); err == nil {
			again, err := appendMessage(nil, frameRequest, fr.id, requestHead{r.Method, r.RequestURI, r.Header}, body)
			if err != nil {
				require.ErrorIs(t, err, eventlog.ErrTooLarge)
				return
			}
			second, err := readFrame(bytes.NewReader(again), most, func() {})
			require.NoError(t, err)
			r2, body2, err := second.request(most)
			require.NoError(t, err)
			require.Equal(t, []any{r.Method, r.RequestURI, r.Header, string(body)}, []any{r2.Method, r2.RequestURI, r2.Header, string(body2)})
		}
		if a, err := fr.answer(most); err == nil {
			require.LessOrEqual(t, len(a.Body), most)
		}
	})
}

// A key that is taken is one that may be sent, and is read as what it was.
func FuzzKey(f *testing.F) {
	for _, seed := range []string{`"a\"b"`, "bare", `"`, `"\`, `""`, `"k";p=1`, " k ", "a\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := parseKey(http.Header{HeaderKey: {text}})
		if err != nil {
			return
		}
		require.NoError(t, checkKey(key))
		again, err := parseKey(http.Header{HeaderKey: {quoteKey(key)}})
		require.NoError(t, err)
		require.Equal(t, key, again)
	})
}

func FuzzTimeout(f *testing.F) {
	for _, seed := range []string{"0", "1500", "999999999999", "1000000000000", "-1", "+1", "1.5", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		left, ok, err := parseTimeout(http.Header{HeaderTimeout: {text}})
		if err != nil {
			return
		}
		require.True(t, ok)
		again, _, err := parseTimeout(http.Header{HeaderTimeout: {formatTimeout(left)}})
		require.NoError(t, err)
		require.Equal(t, left, again)
	})
}
