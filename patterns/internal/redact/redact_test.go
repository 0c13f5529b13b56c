package redact

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestURL(t *testing.T) {
	for address, want := range map[string]string{
		"http://server/events":                  "http://server/events",
		"https://server:8080/a?token=secret&b":  "https://server:8080/a?...",
		"ws://user:secret@server/?token=secret": "ws://user:xxxxx@server/?...",
		"://":                                   "",
	} {
		require.Equal(t, want, URL(address))
	}
}

func TestError(t *testing.T) {
	plain := errors.New(`Get "http://server/a": what?`)
	require.Equal(t, plain, Error(plain))

	cause := &url.Error{Op: "Get", URL: "http://server/a?topic=x&token=secret", Err: io.EOF}
	err := Error(fmt.Errorf("dial: %w, after ws://other/b?token=secret", cause))
	require.EqualError(t, err, `dial: Get "http://server/a?...": EOF, after ws://other/b?...`)
	require.ErrorIs(t, err, io.EOF)
	require.ErrorAs(t, err, new(*url.Error))
}
