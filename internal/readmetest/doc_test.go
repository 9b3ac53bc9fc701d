// Package readmetest follows README.md: it compiles and runs its program as a module of
// its own, runs its commands, and checks its statements about defaults. It also runs the
// examples of docs/hooks.md.
package readmetest
