package overlay

// Locks record which bubble holds them, so that waiting for a lock is durable if no other bubble can get it.
var lockSet = set{
	name: "locks",
	edits: []edit{
		replace("runtime", "synctestBubble.changegstatus", "gp.waitreason.isIdleInSynctest()", "($0 || squallLockIdle(gp))").exactly(2),

		firstFields("internal/sync", "Mutex", "squall squallLock"), // where sync.RWMutex finds it
		before("internal/sync", "Mutex.Lock", "if race.Enabled {}", "runtime_squallLocked(&m.squall)"),
		before("internal/sync", "Mutex.lockSlow", "if race.Enabled {}", "runtime_squallLocked(&m.squall)"),
		before("internal/sync", "Mutex.TryLock", "if race.Enabled {}", "runtime_squallLocked(&m.squall)"),
		before("internal/sync", "Mutex.TryLock", "if old&(mutexLocked|mutexStarving) != 0 {}", "if old != 0 && runtime_squallApart() { return false }"), // other goroutines wait
		begin("internal/sync", "Mutex.lockSlow", "if runtime_squallApart() && m.squallTakes() { return }"),
		begin("internal/sync", "Mutex.Unlock", "runtime_squallUnlocks(&m.squall)"),
		before("internal/sync", "Mutex.unlockSlow", "runtime_Semrelease(_, true, _)", "runtime_squallHandsOver(&m.squall)"),
		around("internal/sync", "Mutex.lockSlow", "runtime_SemacquireMutex(__)",
			"runtime_squallWaits(&m.squall); {", "}; runtime_squallWaited(&m.squall)"),

		fields("sync", "RWMutex", "squall uint64"),
		begin("sync", "RWMutex.Lock", "if runtime_squallApart() && rw.squallTakes() { return }"),
		begin("sync", "RWMutex.RLock", "if runtime_squallApart() && rw.squallReads() { return }; runtime_squallCount(&rw.squall, 1)"),
		begin("sync", "RWMutex.TryRLock", "runtime_squallCount(&rw.squall, 1)"),
		before("sync", "RWMutex.TryRLock", "return false", "runtime_squallCount(&rw.squall, -1)"),
		after("sync", "RWMutex.RUnlock", "if r := _; r < 0 {}", "runtime_squallCount(&rw.squall, -1)"),
		around("sync", "RWMutex.RLock", "runtime_SemacquireRWMutexR(__)",
			"runtime_squallWaitsToRead(rw.squallLock(), &rw.squall); {", "}; runtime_squallWaited(rw.squallLock())"),
		around("sync", "RWMutex.Lock", "runtime_SemacquireRWMutex(__)",
			"runtime_squallWaitsForReaders(&rw.squall); {", "}; runtime_squallWaitedForReaders()"),
	},
}
