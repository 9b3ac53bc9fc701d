// Package archtest checks the rules of this repository: which package imports which,
// that a file of the root belongs to one layer, that documents name files and tests that
// exist, and that no file names a path of one machine. A small tree proves that each rule
// can fail.
package archtest
