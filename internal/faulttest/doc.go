// Package faulttest proves on the built daemon that nothing acknowledged is
// lost, whatever breaks. It is a harness (a daemon to start and kill, disks to
// fill and to cut the power of, traces of system calls) and
// the tests that use it:
//
//	TestKill, TestKillWithOnePID      kill -9 under load, again and again
//	TestKillOnS3                      the same with uploads in a bucket of versitygw
//	TestKillInChunks...               kill -9 while chunks with checksums arrive or are rolled back
//	TestPowerCut...                   power cuts on ext4 after each kind of acknowledgement
//	TestPowerCutInChunk...            and in the middle of a chunk with a checksum
//	TestDigestSurvives...             digests of whole uploads after both
//	TestFullDisk                      no room on tmpfs and ext4
//	TestFailingSystemCalls            fsync, write, rename ... failing one after another
//	TestNothingIsAcknowledged...      the order of system calls behind each answer
//	TestSystemCallsPerRequest         their number for each request, and that of a start
//	TestHalfOpen..., TestFifty...     clients that vanish, clients that fight
//	Test...Sees..., TestCheckOf...    the checks above fail on servers broken on purpose, or on harmed uploads
//
// The last ones build the daemon with tusd_broken_nosync, which drops all
// syncs, or tusd_broken_earlyack, which answers before it writes.
//
// # Running
//
//	go test ./internal/faulttest
//
// runs what can be run here, shortened, on Linux only. Power cuts and full
// disks need root and loop devices, one process id for all lives needs root,
// traces need strace; where that is missing the tests say so and are skipped.
// In CI they have to run, in full:
//
//	TUSD_TEST_REQUIRE=mounts,namespaces,strace TUSD_FAULT_ROUNDS=200 go test ./internal/faulttest
//
// TUSD_FAULT_ROUNDS is the number of kills of TestKill (default 4); the other
// kill tests make a part of it. mounts in TUSD_TEST_REQUIRE adds power cuts
// after 7 s and at more fill levels of a chunk; strace makes TestFailingSystemCalls
// go on until no fault is met any more, which takes a minute.
//
// A check is a function that returns an error, so that the harness itself can
// be tested with it.
package faulttest
