//go:build tusd_broken_nosync

package durable

// syncs is false: nothing is ever made durable. The tests that cut the power
// must fail with this build.
const syncs = false
