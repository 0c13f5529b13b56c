package sim

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// seedCrypto makes cryptographic randomness come from the seed until t, a bubble's, has ended. Package
// cryptotest does so for all of it. That has one source for the process. It panics, before it has changed
// anything, in a test that runs in parallel with others, and with the frozen module of FIPS 140-3
// (GOFIPS140=v1.0.0). In these cases only crypto/rand is seeded, for this bubble.
func (n *Network) seedCrypto(t *testing.T) {
	defer func() {
		switch {
		case recover() != nil:
			n.harness.crypto = newCryptoStream(n.seed)
			cryptoStreams.Add(1)
			t.Cleanup(func() { cryptoStreams.Add(-1) })
		case raceEnabled || exact.Enabled:
			// When the randomness is reset at the end, those who used it must have ended. In exact mode that
			// is one turn more, with the race detector and without.
			t.Cleanup(synctest.Wait)
		}
	}()
	cryptotest.SetGlobalRandom(t, n.seed)
}

// cryptoStreams is the number of networks that have one.
var cryptoStreams atomic.Int32

// A cryptoStream is what one bubble draws from crypto/rand.
type cryptoStream struct {
	mu sync.Mutex
	r  *mathrand.ChaCha8
}

// newCryptoStream draws the same values as cryptotest does with that seed.
func newCryptoStream(seed uint64) *cryptoStream {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &cryptoStream{r: mathrand.NewChaCha8(key)}
}

func (s *cryptoStream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(p)
}

// The reader stands before that of crypto/rand from the beginning, since others may read the
// variable at any time.
func init() { rand.Reader = cryptoReader{rand.Reader} }

// A cryptoReader gives goroutines of a bubble that has a stream what is in the stream, and others what was
// there before.
type cryptoReader struct{ others io.Reader }

func (r cryptoReader) Read(p []byte) (int, error) {
	if cryptoStreams.Load() > 0 {
		if n := networkOfBubble(); n != nil && n.harness.crypto != nil {
			return n.harness.crypto.Read(p)
		}
	}
	return r.others.Read(p)
}
