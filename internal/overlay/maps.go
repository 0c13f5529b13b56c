package overlay

// The order of maps does not depend on addresses.
var mapSet = set{
	name:  "maps",
	files: []file{{pkg: "internal/runtime/maps", name: "squall.go"}},
	edits: []edit{
		// A map made outside tests, by a package or a table of tests, has the same order in every process.
		replace("internal/runtime/maps", "*", "uintptr(rand())", "uintptr(runtime_squallMapSeed())").everywhere(),
		replace("internal/runtime/maps", "*", "typ.Hasher(_, _)", "squallHash(typ, $1, $2)").everywhere(),
		// Go 1.27 computes the hashes of 8-byte keys, including pointers, in place.
		replace("internal/runtime/maps", "*", "memHash64AES(key, m.seed)", "squallHash(typ, abi.NoEscape(unsafe.Pointer(&key)), m.seed)").everywhere().from(27),
		replace("internal/runtime/maps", "*", "memHash64Fallback(key, m.seed)", "squallHash(typ, abi.NoEscape(unsafe.Pointer(&key)), m.seed)").everywhere().from(27),
		replace("internal/runtime/maps", "*", "memHash64AES(uint64(uintptr(key)), m.seed)", "squallHash(typ, abi.NoEscape(unsafe.Pointer(&key)), m.seed)").everywhere().from(27),
		replace("internal/runtime/maps", "*", "memHash64Fallback(uint64(uintptr(key)), m.seed)", "squallHash(typ, abi.NoEscape(unsafe.Pointer(&key)), m.seed)").everywhere().from(27),
		replace("internal/sync", "HashTrieMap.initSlow", "uintptr(runtime_rand())", "uintptr(runtime_squallMapSeed())"), // of sync.Map
		replace("internal/sync", "HashTrieMap.initSlow", "mapType.Hasher", "squallHasher(mapType)"),
		replace("runtime", "freeSpecial", "_KindSpecialBubble", "$0, squallSpecialKind"),
	},
}
