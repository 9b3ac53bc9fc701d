// Package hostiletest attacks the built daemon as hostile clients can: over raw
// sockets of HTTP/1.0 and 1.1, and with frames of HTTP/2, with uploads in files
// and in S3.
//
//	TestAttacksOnFiles        most attacks
//	TestAttacksOnS3           those that reach the store
//	TestResidentMemoryGoesBack  large headers, and the memory that they took
//	TestStalledUploadsToS3      a service that takes no part
//	TestHandshakes              TLS that stops half-way
//	TestUnreadLog               a log that is not read
//	TestFinalsDoNotMultiply     a small request for much on the disk
//	TestHiddenRequests          request smuggling: requests whose end can be read in two ways
//	TestIdleConnectionsEnd    connections that bring nothing more
//	TestShutdownUnderAttack              a shutdown beside them
//	TestCachesAreBounded        the memory of caches
//
// Each attack runs against its own daemon. Kinds of about the same cost share one
// attack. While it is in full effect, a healthy client makes 50 uploads from
// another address. The bounds are the same for all attacks:
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
// goroutines, and floods have a rate, so that on two cores the healthy client does
// not wait for the attacker itself.
//
// # Running
//
//	TUSD_HOSTILE=1 go test -count=1 -timeout 10m ./internal/hostiletest
//
// runs the attacks, on Linux only, as many at the same time as there are
// processors. .ci/run does so in a step of its own. Without the variable none
// runs, and the package says so.
//
// A daemon that takes more than 1 GiB is killed.
package hostiletest
