//go:build !tusd_broken_nosync

package durable

// syncs is false only in builds that are broken on purpose.
const syncs = true
