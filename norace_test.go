//go:build !race

package tusd_test

const raceEnabled = false
