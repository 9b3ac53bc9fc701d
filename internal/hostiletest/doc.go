// Package hostiletest attacks the built daemon as strangers can: over raw
// sockets of HTTP/1.0 and 1.1, and with frames of HTTP/2, with uploads in files
// and in S3.
//
//	TestStrangersOnFiles        most attacks
//	TestStrangersOnS3           those that reach the store
//	TestResidentMemoryGoesBack  large heads, and the pages that they took
//	TestStalledUploadsToS3      a service that takes no part
//	TestHandshakes              TLS that stops half-way
//	TestUnreadLog               a log that is not read
//	TestFinalsDoNotMultiply     a small request for much on the disk
//	TestHiddenRequests          requests whose end can be read in two ways
//	TestNothingIsHeldForEver    connections that bring nothing more
//	TestEndsInTime              a shutdown beside them
//	TestCachesAreBounded        what is remembered of uploads
//
// Each attack meets a daemon of its own. Where kinds cost about the same, one
// attack has them all, in turn or side by side. While it is in full effect, a
// healthy client makes 50 uploads from another address. Each attack is held to
// the same bounds:
//
//   - Resident memory is at most 100 MiB above that of the idle daemon, by
//     samples and by the system's own high-water mark.
//   - The median of a healthy client's create and PATCH is at most 200 ms.
//   - Within 10 s after the attacker has gone, live heap, goroutines and
//     descriptors are what they were, but for 5 % (of live heap 1 MiB) and a
//     little noise.
//
// The attacker comes from an address that limits per client exempt, as do all
// clients behind a proxy: the bounds hold without these limits. It has few
// goroutines, and floods have a rate, so that on two cores it is not the
// attacker itself that the healthy client waits for.
//
// # Running
//
//	TUSD_HOSTILE=1 go test -count=1 -timeout 10m ./internal/hostiletest
//
// runs the attacks, on Linux only, as many at the same time as there are
// processors. .ci/run does so in a step of its own. Without the variable none
// runs, and the package says so.
//
// A daemon that an attack takes more than 1 GiB of is killed.
package hostiletest
