// Package overlay changes the standard library of the installed Go release for one build. It reads the sources in the user's own GOROOT and
// writes changed ones into the user's cache, together with the file that go build -overlay takes.
//
// The changes are described by edits. An edit finds its place by syntax: it names a function or type, in whichever file of its package, and
// a pattern describes a statement in it (see [pattern]). If a release of Go has changed that place so that an edit does not fit, [Prepare]
// refuses the release: it returns all edits that did not find their place, and writes nothing. Inserted text has no line breaks, so the
// lines of the standard library keep their numbers. Functions and types of our own are in files that are added to a package. They are in
// the folder files, under the import path of the package, with ".txt" after their name.
//
// The edits of one purpose form a set, in a file of its own: sched.go, random.go, points.go and so on. Each of these files has a variable
// that [sets] lists. To change another package, make a set:
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
// Edits apply to the files that are compiled for the current operating system and processor. Edits for one operating system or for some
// releases only are marked: on("linux"), from(27), to(26). All added names begin with squall, including the names of files.
package overlay
