// Package protocoltest tests the protocol from outside: a handler behind a server, and
// clients that speak tus 1.0 and the IETF draft over sockets. It knows nothing of the
// handler's inside; package tuning lets it set the clock and the delays.
//
//	scenario_test.go    the kinds of tests: scenarios run over HTTP/1.1 and HTTP/2 on every
//	                    store that needs nothing but Go
//	env_test.go         the environment of a test: server, store, log, clock
//	client_test.go      the client of tus 1.0, and the checks of answers
//	ietfclient_test.go  the client of the draft
//	inprocess_test.go   requests without a socket, for tests that measure memory
//
// Every other file tests what its name says; those that begin with ietf test the draft,
// the others tus 1.0 or both. A scenario has a sentence that is printed when it fails.
package protocoltest
