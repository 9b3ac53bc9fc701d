module github.com/tus/tusd

go 1.26.0

require (
	github.com/bmizerany/pat v0.0.0-20170815010413-6226ea591a40
	github.com/rogpeppe/go-internal v1.16.0
	golang.org/x/net v0.62.0
	golang.org/x/sys v0.49.0
)

require (
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
)
