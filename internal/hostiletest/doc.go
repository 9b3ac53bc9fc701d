// Package hostiletest attacks the built daemon as hostile clients do: over raw sockets
// with HTTP/1.0 and 1.1, and with frames of HTTP/2. Uploads are in files and in S3.
//
//	TestAttacksOnFiles          most attacks
//	TestAttacksOnS3             attacks that reach the store
//	TestResidentMemoryGoesBack  large headers, and resident memory after them
//	TestStalledUploadsToS3      an S3 service that accepts no part
//	TestHandshakes              TLS handshakes that are not completed
//	TestUnreadLog               a log that is not read
//	TestFinalsDoNotMultiply     a small request for a very large final upload
//	TestHiddenRequests          request smuggling: requests whose end is ambiguous
//	TestIdleConnectionsEnd      connections that make no progress
//	TestShutdownUnderAttack     a shutdown while such connections are open
//	TestCachesAreBounded        the memory of caches
//
// Each attack runs against its own daemon. Similar requests of about the same cost share
// one attack. While it is in full effect, a healthy client makes 50 uploads from another
// address. The bounds are the same for all attacks:
//
//   - Resident memory is at most 100 MiB above that of the idle daemon, by
//     samples and by the system's own high-water mark.
//   - The median of a healthy client's create and PATCH is at most 200 ms.
//   - Within 10 s after the end of the attack, live heap, goroutines and descriptors
//     are back at their values before it, with a tolerance of 5 % (of live heap 1 MiB)
//     and a small constant.
//
// The attacker's address is exempt from the limits per client, as are clients behind a
// proxy: the bounds hold without these limits. The attacker has few goroutines, and
// floods have a rate, so that on two cores the healthy client does not wait for the
// attacker's own work.
//
// # Running
//
//	TUSD_HOSTILE=1 go test -count=1 -timeout 10m ./internal/hostiletest
//
// runs the attacks, on Linux only, as many at the same time as there are processors.
// .ci/run has a step for it. Without the variable no attack runs.
//
// A daemon with more than 1 GiB of resident memory is killed.
package hostiletest
