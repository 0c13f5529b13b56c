package overlay

// The scheduler. The comment in files/runtime/squall.go.txt describes how it works.
var schedulerSet = set{
	name: "scheduler",
	files: []file{
		{pkg: "runtime", name: "squall.go"},
		{pkg: "runtime", name: "squallpolicy.go"},
		{pkg: "runtime", name: "squallcaller.go"},
		{pkg: "runtime", name: "squallrand.go"},
		{pkg: "runtime", name: "squalllock.go"},
		{pkg: "runtime", name: "squallapart.go"},
		{pkg: "runtime", name: "squallpool.go"},
		{pkg: "runtime", name: "squallobject.go"},
		{pkg: "runtime", name: "squallnote.go"},
		{pkg: "runtime", name: "squallturn.go"},
		{pkg: "runtime", name: "squallthread.go"},
	},
	edits: []edit{
		fields("runtime", "g", "squall squallG"),
		fields("runtime", "synctestBubble", "squall squallBubble"),

		// Where a goroutine begins, becomes runnable and ends.
		after("runtime", "newproc1", "newg.bubble = _", "squallNew(newg)"),
		before("runtime", "newproc", "runqput(_, newg, true)", "if squallReady(newg) { return }"),
		before("runtime", "ready", "runqput(_, gp, next)", "if squallReady(gp) { releasem(mp); return }"),
		begin("runtime", "gdestroy", "squallOf := gp.bubble"),
		after("runtime", "gdestroy", "dropg()", "squallExit(squallOf, gp)"),

		// Where a bubble ends.
		after("runtime", "synctestRun", "gp.bubble = bubble", "defer squallEnd(bubble)"),

		// Where a goroutine waits.
		before("runtime", "park_m", "casgstatus(_, _Grunning, _Gwaiting)", "squallLeaves := squallPark(gp)"),
		before("runtime", "park_m", "execute(_, _)", "squallStay(gp)"),
		before("runtime", "park_m", "schedule()", "if squallLeaves { squallRelease(bubble, gp) }"),
		around("runtime", "semacquire", "semacquire1(__)", "getg().squall.inner = true; {", "}; getg().squall.inner = false"),

		// Where all goroutines of a bubble are blocked.
		before("runtime", "synctestBubble.maybeWakeLocked", "if gp := bubble.waiter; gp != nil {}", "if gp := squallTaker(bubble); gp != nil { return gp }"),
		replace("runtime", "synctestBubble.maybeWakeLocked", "bubble.waiter", "squallWaiter(bubble)"),

		// Where a goroutine yields, and where another takes its place.
		before("runtime", "goschedImpl", "if preempted && sched.gcwaiting.Load() {}", "if squallGosched(gp, preempted) { schedule() }"),
		before("runtime", "goyield_m", "runqput(_, gp, false)", "if squallYields(gp) { schedule() }"),
		replace("runtime", "*", "Gosched()", "squallKeep()").everywhere(),
		replace("runtime", "*", "goschedguarded()", "squallKeepGuarded()").everywhere(),
		replace("runtime", "goroutineProfileWithLabelsConcurrent", "tryRecordGoroutineProfile(gp1, pcbuf, Gosched)", "tryRecordGoroutineProfile(gp1, pcbuf, squallKeep)"),
		before("runtime", "coroswitch_m", "if exit {}", "squallHanded := squallLeaves(gp)"),
		before("runtime", "coroswitch_m", "gogo(_)", "squallEnters(bubble, squallHanded, gnext)"),

		// Code that depends on real time or on other processors.
		begin("runtime", "internal_sync_nanotime", "if b := getg().bubble; b != nil && b.squall.on { return b.now }"),
		// Otherwise the runtime leaves stopped timers in the heap, and the order of timers of one instant changes.
		replace("runtime", "timers.cleanHead", "gp.preemptStop", "(gp.preemptStop && (gp.bubble == nil || !gp.bubble.squall.on))"),
		// Many programs start as many workers, or pools, as there are processors.
		begin("runtime", "GOMAXPROCS", "if n <= 0 && squallOn() { return squallProcessors }"),
		begin("runtime", "NumCPU", "if squallOn() { return squallProcessors }"),
		begin("runtime", "internal_sync_runtime_canSpin", "if b := getg().bubble; b != nil && b.squall.on { return false }"),
	},
}
