// Package e2e runs real clients against the built daemon, and against handlers with
// faults in their stores and lockers: tus-js-client in four major versions, in tus 1.0
// and in its versions of the IETF draft, Uppy in Chromium, tuspy and curl. Uploads also
// go through nginx, HAProxy and Caddy, which run with the snippets of docs/proxies.md,
// and into a bucket of versitygw. No published client reads the draft's 104 responses,
// so draftClient in this package does, as Apple's URLSession does.
//
// The tests prove that contents arrive whole, and that no fault of the server makes a
// client abandon its upload. Such a client would create a second upload; a relay between
// client and server counts the POSTs.
//
// The JavaScript clients come from npm. If TUSD_TEST_REQUIRE names "node", they are
// installed into $TUSD_TEST_CACHE (by default tusd-test in the user's cache folder).
// Otherwise nothing is downloaded: tests run with an existing installation, or are
// skipped.
package e2e
