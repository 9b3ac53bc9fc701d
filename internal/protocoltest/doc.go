// Package protocoltest tests the protocol from outside: a handler behind a server, and
// clients that speak tus 1.0 and the IETF draft over sockets. It knows nothing of the
// handler's inside; package tuning lets it set the clock and the delays.
//
//	scenario_test.go     the kinds of tests: scenarios run over HTTP/1.1 and HTTP/2 on every
//	                     store that needs nothing but Go
//	env_test.go          the environment of a test: server, store, log, clock
//	client_test.go       the client of tus 1.0, and the checks of answers
//	ietfclient_test.go   the client of the draft
//	hashes_test.go       checksums and digests, as header lines
//	finals_test.go       steps and checks of the tests of finals
//	stores_test.go       stores that call a test's function before an operation
//	faultystores_test.go stores that are full or cannot be read
//	storeaccess_test.go  what tests read and change in a store, without the handler
//
// Every other file tests what its name says; those that begin with ietf test the draft,
// the others tus 1.0 or both. A scenario has a sentence that is printed when it fails.
package protocoltest
