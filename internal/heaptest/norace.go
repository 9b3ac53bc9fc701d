//go:build !race

package heaptest

const raceEnabled = false
