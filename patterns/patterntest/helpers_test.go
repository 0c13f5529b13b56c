package patterntest_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
)

var errRefused = errors.New("refused")

// A server that stops late does not take its successor along.
func TestCurrent(t *testing.T) {
	var c patterntest.Current[string]
	server, up := c.Get()
	require.False(t, up)
	require.Empty(t, server)
	require.ErrorIs(t, c.Do(func(string) error { panic("there is none") }), patterntest.ErrDown)

	firstDown := c.Set("first")
	secondDown := c.Set("second")
	firstDown()
	require.NoError(t, c.Do(func(server string) error {
		require.Equal(t, "second", server)
		return nil
	}))
	require.ErrorIs(t, c.Do(func(string) error { return errRefused }), errRefused)
	secondDown()
	_, up = c.Get()
	require.False(t, up)
}

func TestDisk(t *testing.T) {
	var d patterntest.Disk[int]
	require.Zero(t, d.Load("phone"))
	d.Store("phone", 1)
	d.Store("phone", 2)
	d.Store("tablet", 3)
	require.Equal(t, 2, d.Load("phone"))
	require.Equal(t, 3, d.Load("tablet"))
}
