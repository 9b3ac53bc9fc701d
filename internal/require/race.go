//go:build race

package require

const raceEnabled = true
