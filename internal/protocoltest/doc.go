// Package protocoltest tests the protocol from outside: a handler behind a server, and
// clients that speak tus 1.0 and the IETF draft over sockets, on every store that needs
// nothing but Go.
//
// A test is a list of scenarios. Each scenario runs over HTTP/1.1 and HTTP/2 and has a
// sentence that is printed when it fails. scenario_test.go has the surroundings of a
// scenario, client_test.go the client of tus 1.0, ietfclient_test.go that of the draft.
package protocoltest
