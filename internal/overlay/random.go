package overlay

// Every source of randomness that a program can see depends only on the seed.
var randomSet = set{
	name: "random",
	files: []file{
		{pkg: "math/rand", name: "squallrand.go"},
		{pkg: "math/rand/v2", name: "squallrand.go"},
		{pkg: "hash/maphash", name: "squallrand.go"},
		{pkg: "os", name: "squallrand.go"},
		{pkg: "net", name: "squallrand.go"},
		{pkg: "crypto/internal/sysrand", name: "squall.go"},
	},
	edits: []edit{
		begin("runtime", "rand", "if x, ok := squallConst(); ok { return x }"),
		before("runtime", "randinit", "globalRand.state.Init(_)", "squallFixSeed(seed[:])"),
		// Without -race, the heap's address is drawn. The keys of hashes and the first thread's generator are drawn afterwards, and must
		// not differ because of that.
		after("runtime", "schedinit", "mallocinit()", "squallRestartRand()"),
		// The generator of a new thread must not draw from the generator of the thread that starts it.
		replace("runtime", "mrandinit", "rand()", "bootstrapRand()").everywhere(),
		replace("runtime", "selectgo", "cheaprandn(_)", "squallChoice($1)"),
		replace("runtime", "timer.maybeAdd", "cheaprand()", "squallTie()"),
		replace("runtime", "legacy_fastrand", "rand()", "squallUserRand()"),
		replace("runtime", "legacy_fastrand64", "rand()", "squallUserRand()"),
		replace("runtime", "legacy_fastrandn", "randn(_)", "uint32(squallUserRand() >> 32 * uint64($1) >> 32)"),

		replace("math/rand", "*", "runtime_rand()", "runtime_squallRand()").everywhere(),
		replace("math/rand/v2", "*", "runtime_rand()", "runtime_squallRand()").everywhere(),
		replace("hash/maphash", "*", "runtime_rand()", "runtime_squallRand()").everywhere(),
		replace("os", "*", "runtime_rand()", "runtime_squallRand()").everywhere(),
		replace("net", "*", "runtime_rand()", "runtime_squallRand()").everywhere(),
		begin("crypto/internal/sysrand", "Read", "if runtime_squallSysRand(b) { return }"),
	},
}
