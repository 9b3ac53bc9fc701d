//go:build tusd_broken_nosync

package durable

// syncs is false: nothing is ever made durable. The tests that cut the power
// must fail on a server built so, or they prove nothing.
const syncs = false
