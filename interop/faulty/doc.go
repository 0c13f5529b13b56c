// Package faulty runs libraries at versions with a bug of concurrency that is public and has been mended since. A sweep over
// seeds in exact mode finds each of them again, and the seed that found it finds it every time. With mended.mod it runs the
// versions in which the bugs are mended, and finds none.
//
// It is a module of its own, for its versions are not those that the module interop uses, and is run by hand:
//
//	cd interop/faulty
//	go run github.com/squall-sim/squall/cmd/squall test -v .
//	go run github.com/squall-sim/squall/cmd/squall test -v -modfile=mended.mod .
package faulty
