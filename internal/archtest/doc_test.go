// Package archtest checks the rules of this repository: which package may import
// which, what a file may use, what documents name, and what the repository must not
// contain. A small tree shows that each rule can fail.
package archtest
