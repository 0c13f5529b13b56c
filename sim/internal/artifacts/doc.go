// Package artifacts writes the files that a run of a test leaves behind for a person to read: a report as one HTML page, one pcapng file
// for each host, and the trace as lines of JSON. It knows nothing of a network: package sim passes it a [Run].
//
// Like all of package sim, it needs only the standard library, so modules that use squall gain no dependency.
package artifacts
