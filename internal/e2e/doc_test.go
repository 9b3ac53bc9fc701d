// Package e2e runs real clients against the built daemon, and against handlers
// with faults in their stores and locks: tus-js-client in four major versions,
// in tus 1.0 and in the drafts of the IETF that it speaks, Uppy in Chromium,
// tuspy and curl; also through nginx, HAProxy and Caddy, which run with the
// snippets of docs/proxies.md; and into a bucket of versitygw. No client can be
// had that knows the draft's 104 responses, so there is one here (draftClient),
// which does what Apple's URLSession does.
//
// What it proves beyond the protocol's own tests: contents arrive whole, and
// no fault of the server makes a client abandon its upload. A client
// that did would start again with a second POST; a relay between both counts
// them.
//
// The clients in JavaScript come from npm. They are installed, if TUSD_TEST_REQUIRE names
// "node", into $TUSD_TEST_CACHE (by default tusd-test in the user's cache
// folder). Without that nothing is fetched: what is installed is used, and
// otherwise the test is skipped.
package e2e
