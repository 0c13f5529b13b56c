package overlay

import "slices"

// The places at which the scheduler may switch although the goroutine does not wait.
var pointSet = set{
	name: "points",
	files: []file{
		{pkg: "sync", name: "squall.go"},
		{pkg: "internal/sync", name: "squall.go"},
		{pkg: "sync/atomic", name: "squall.go"},
	},
	edits: slices.Concat(runtimePoints, syncPoints(), atomicPoints()),
}

var runtimePoints = []edit{
	after("runtime", "newproc", "systemstack(_)", "squallPoint()"),
	begin("runtime", "chansend", "squallPoint()"),
	begin("runtime", "chanrecv", "squallPoint()"),
	begin("runtime", "closechan", "squallPoint()"),
	begin("runtime", "selectgo", "squallPoint()"),
}

// syncPoints adds one point to each call of an exported function of package sync, however many steps the call takes. The steps depend on
// the state that the call finds, such as readers of another bubble, and must not shift later decisions.
func syncPoints() []edit {
	edits := []edit{
		after("sync", "Mutex.Unlock", "m.mu.Unlock()", "runtime_squallPoint()"),
		after("sync", "RWMutex.RUnlock", "if r := _; r < 0 {}", "runtime_squallPoint()"),
		after("sync", "RWMutex.Unlock", "rw.w.Unlock()", "runtime_squallPoint()"),
		after("sync", "rlocker.Unlock", "(*RWMutex)(r).RUnlock()", "runtime_squallPoint()"),
		after("sync", "WaitGroup.Go", "go _()", "runtime_squallPoint()"),
	}
	for _, at := range []string{
		"Mutex.Lock", "Mutex.TryLock", "RWMutex.Lock", "RWMutex.TryLock", "RWMutex.RLock", "RWMutex.TryRLock", "rlocker.Lock",
		"Cond.Wait", "Cond.Signal", "Cond.Broadcast", "WaitGroup.Add", "WaitGroup.Done", "WaitGroup.Wait", "Once.Do",
		"Map.Load", "Map.Store", "Map.Clear", "Map.LoadOrStore", "Map.LoadAndDelete", "Map.Delete", "Map.Swap",
		"Map.CompareAndSwap", "Map.CompareAndDelete", "Map.Range",
	} {
		edits = append(edits, begin("sync", at, "runtime_squallPoint()"))
	}
	return edits
}

// atomicPoints are for the methods of the types of sync/atomic. The compiler replaces the functions of sync/atomic by instructions at the
// place of the call.
func atomicPoints() (edits []edit) {
	methods := map[string][]string{"Bool": nil, "Pointer": nil}
	numbers := []string{"Int32", "Int64", "Uint32", "Uint64", "Uintptr"}
	for _, typ := range append(numbers, "Bool", "Pointer") {
		for _, method := range []string{"Load", "Store", "Swap", "CompareAndSwap", "Add", "And", "Or"} {
			if _, short := methods[typ]; short && len(method) <= 3 {
				continue
			}
			edits = append(edits, begin("sync/atomic", typ+"."+method, "runtime_squallPoint()"))
		}
	}
	return edits
}
