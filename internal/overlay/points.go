package overlay

// The places at which the scheduler may switch although nothing waits.
var pointSet = set{
	name: "points",
	files: []file{
		{pkg: "sync", name: "squall.go"},
		{pkg: "internal/sync", name: "squall.go"},
		{pkg: "sync/atomic", name: "squall.go"},
	},
	edits: append([]edit{
		after("runtime", "newproc", "systemstack(_)", "squallPoint()"),
		begin("runtime", "chansend", "squallPoint()"),
		begin("runtime", "chanrecv", "squallPoint()"),
		begin("runtime", "closechan", "squallPoint()"),
		begin("runtime", "selectgo", "squallPoint()"),
		begin("internal/sync", "Mutex.Lock", "runtime_squallPoint()"),
		begin("internal/sync", "Mutex.TryLock", "runtime_squallPoint()"),
		after("internal/sync", "Mutex.Unlock", "if new != 0 {}", "runtime_squallPoint()"),
		begin("sync", "RWMutex.RLock", "runtime_squallPoint()"),
		after("sync", "RWMutex.RUnlock", "if r := _; r < 0 {}", "runtime_squallPoint()"),
	}, atomicPoints()...),
}

// atomicPoints are the methods of the types of sync/atomic. Its functions are replaced by
// instructions where they are called.
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
