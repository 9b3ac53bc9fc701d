// Package faulttest shows on the built daemon that nothing acknowledged is lost in a crash.
// It has a harness (a daemon to start and kill, disks to fill and to cut the power of,
// traces of system calls) and the tests that use it:
//
//	TestKill, TestKillWithOnePID      kill -9 under load, many times
//	TestKillOnS3                      the same with uploads in a bucket of versitygw
//	TestKillWithHooks, ...PreFinish   the same with an endpoint for hooks that fails: no event is lost
//	TestKillInChunks...               kill -9 while chunks with checksums arrive or are rolled back
//	TestPowerCut...                   power cuts on ext4 after each kind of acknowledgement
//	TestPowerCutInChunk...            and in the middle of a chunk with a checksum
//	TestDigestSurvives...             digests of whole uploads after both
//	TestFullDisk                      full disks, tmpfs and ext4
//	TestFailingSystemCalls            fsync, write, rename ... fail one after another
//	TestNothingIsAcknowledged...      the order of system calls before each answer
//	TestLookingSyncsNothing           no syncs before answers that show no offset
//	TestSystemCallsPerRequest         the system calls of each request, and of a start
//	TestHalfOpen..., TestFifty...     clients that disappear; many clients of one upload
//	TestHandOver..., TestStopped...   two daemons with one directory
//	Test...Sees..., TestCheckOf...    these checks fail on broken servers and damaged uploads
//
// The last ones build the daemon with tusd_broken_nosync, which drops all syncs, or
// tusd_broken_earlyack, which answers before it writes.
//
// # Running
//
//	go test ./internal/faulttest
//
// runs a short form, on Linux only. Power cuts and full disks need root and loop devices,
// process id namespaces need root, traces need strace; tests without what they need are
// skipped. In CI they have to run, in full:
//
//	TUSD_TEST_REQUIRE=mounts,namespaces,strace TUSD_FAULT_ROUNDS=200 go test ./internal/faulttest
//
// TUSD_FAULT_ROUNDS is the number of kills of TestKill (default 4); the other kill tests
// make a part of it. mounts in TUSD_TEST_REQUIRE adds power cuts after 7 s and after more
// numbers of bytes of a chunk; strace makes TestFailingSystemCalls go on until no call fails
// any more, which takes a minute.
//
// A check is a function that returns an error, so that tests can expect it to fail.
package faulttest
