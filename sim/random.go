package sim

import (
	"testing"
	"testing/cryptotest"
	"testing/synctest"
)

// seedCrypto has the cryptographic randomness of the process come from the seed until t, which
// is a bubble's, has ended. It does nothing in a test that runs beside others, or with the frozen
// module of FIPS 140-3 (GOFIPS140=v1.0.0): cryptotest panics then, before it has changed anything.
func seedCrypto(t *testing.T, seed uint64) {
	defer func() {
		if recover() == nil && raceEnabled {
			// What sets the randomness back at the end sees that those who used it have ended.
			t.Cleanup(synctest.Wait)
		}
	}()
	cryptotest.SetGlobalRandom(t, seed)
}
