// Package overlay changes the standard library of the Go release at hand for one build: it reads
// the sources in the user's own GOROOT and writes changed ones into the user's cache, with the
// file that go build -overlay takes.
//
// What is changed is said by edits, which find their place by syntax: a function or type by its
// name, in whatever file of its package, and a statement in it by a pattern (see [pattern]). An
// edit that does not fit, because a release of Go has changed the place, refuses the
// release: [Prepare] returns all edits that did not find what they look for, and writes nothing.
// Text that is inserted has no line breaks, so the lines of the standard library keep their
// numbers. Functions and types of our own are files that a package gets in addition: they lie in
// the folder files, under the import path of the package, with ".txt" behind their name.
//
// The edits of one purpose are a set, in a file of its own: sched.go, random.go, points.go and so
// on, each with a variable that [sets] lists. To change another package, make a set:
//
//	var netSet = set{
//		name:  "net",
//		files: []file{{pkg: "net", name: "squall.go"}},
//		edits: []edit{
//			fields("net", "netFD", "squall squallFD"),
//			begin("net", "netFD.Read", "if fd.squall != nil { return fd.squall.Read(p) }"),
//			before("net", "socket", "sysSocket(_, _, _)", "if squallHook != nil { return squallSocket(family) }"),
//			replace("net", "*", "runtime_rand()", "squallRand()").everywhere(),
//		},
//	}
//
// Edits apply to the files that are compiled for the operating system and processor at hand.
// Those that are for one system or for some releases say so: on("linux"), from(27), to(26). All
// names that are added begin with squall, those of files too.
package overlay
