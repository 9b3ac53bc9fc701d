// Package citest runs scripts of .ci on small modules made for that.
package citest
