// Package archtest holds the rules of the house as tests: who may import whom,
// what a dialect and an operation may name, and what the repository must not
// contain. Each rule is also shown to fail, on a small tree made for that.
package archtest
