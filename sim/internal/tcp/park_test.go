package tcp

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fill gives all numbers in a value random ones, some of them small, and skips the fields with some names.
func fill(r *rand.Rand, v reflect.Value, skip map[string]bool) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i).Name; !skip[f] {
				field := reflect.NewAt(v.Field(i).Type(), v.Field(i).Addr().UnsafePointer()).Elem()
				fill(r, field, skip)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), skip)
		}
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int64:
		v.SetInt([]int64{0, 1, int64(r.IntN(1e9)), int64(time.Millisecond) * r.Int64N(1e9), r.Int64N(1 << 58)}[r.IntN(5)])
	case reflect.Int32:
		v.SetInt(int64(r.Int32()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> r.IntN(64) & (1<<v.Type().Bits() - 1))
	}
}

// Whatever a connection with nothing under way knows, it knows it again when it is no longer parked: a new field that pack has
// not is found here.
func TestWhatIsParkedIsWhatItWas(t *testing.T) {
	cfg, err := (&Config{}).Complete()
	require.NoError(t, err)
	set := map[string]bool{} // what is kept otherwise, or must be so to be parked
	for _, name := range []string{
		"cfg", "out", "iss", "irs", "state", "keepAt", "rtxAt", "ackAt", "events", "taken", "takenFirst", "probes",
		"snd", "rcvq", "ooo", "cub", "ep", "buf", "first", "last", "hint",
	} {
		set[name] = true
	}
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := &Conn{cfg: cfg, out: fresh{}, iss: 1, irs: 2, state: Established, keepAt: 3, rtxAt: Never, ackAt: Never}
		c.tx.first, c.tx.last, c.rec.hint = none, none, none
		fill(r, reflect.ValueOf(c).Elem(), set)
		want := *c
		k := packer{}
		c.pack(&k)
		require.Equal(t, want, *c, "writing changes nothing")
		got := Conn{cfg: cfg, out: fresh{}, iss: 1, irs: 2, state: Established, keepAt: 3, rtxAt: Never, ackAt: Never}
		got.tx.first, got.tx.last, got.rec.hint = none, none, none
		from := packer{buf: k.buf, reads: true}
		got.pack(&from)
		require.Equal(t, want, got, "seed %d", seed)
		require.Equal(t, k.at, from.at)
	}
}

// A connection is parked when nothing is under way, and answers for itself meanwhile.
func TestParking(t *testing.T) {
	cfg, err := (&Config{}).Complete()
	require.NoError(t, err)
	quiet := func() *Conn {
		c := newConn(cfg, fresh{}, 1500, 7, 0)
		c.state, c.keepAt = Established, 15*time.Second
		return c
	}
	var p Parked
	c := quiet()
	require.True(t, c.Park(&p))
	require.Equal(t, c.NextTimer(), p.NextTimer())
	require.Equal(t, c.Numbers(), p.Numbers())
	fails, every, ok := c.KeepsAlive()
	fails2, every2, ok2 := p.KeepsAlive()
	require.Equal(t, []any{fails, every, ok}, []any{fails2, every2, ok2})
	var back Conn
	p.Unpark(&back, fresh{})
	require.Equal(t, *c, back)

	for what, change := range map[string]func(c *Conn){
		"it opens":                   func(c *Conn) { c.state = SynReceived },
		"it closes":                  func(c *Conn) { c.state = FinWait1 },
		"something was written":      func(c *Conn) { c.Append([]byte("x")) },
		"something is to be sent":    func(c *Conn) { c.end++ },
		"something was read":         func(c *Conn) { c.taken = 1 },
		"something is to be read":    func(c *Conn) { c.rcvq = &receiveQueue{} },
		"a timer is set":             func(c *Conn) { c.rtxAt = 1 },
		"an acknowledgement is due":  func(c *Conn) { c.ackAt = 1 },
		"a probe is under way":       func(c *Conn) { c.probes = 1 },
		"its owner is to hear of it": func(c *Conn) { c.events = Readable },
		"it has lost something":      func(c *Conn) { c.ep = &episode{} },
	} {
		c := quiet()
		change(c)
		require.False(t, c.Park(&p), what)
	}
}
