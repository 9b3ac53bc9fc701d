// Package readmetest does what README.md tells its readers to do: it compiles
// and runs the program in it as a module of its own, and types its commands.
package readmetest
