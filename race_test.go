//go:build race

package tusd_test

const raceEnabled = true
