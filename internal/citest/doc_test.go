// Package citest runs the scripts of .ci on small modules.
package citest
