//go:build windows || plan9 || solaris || aix || android

package bolt

import "os"

// unlock has nothing to do where a lock ends with the file.
func unlock(*os.File) {}
