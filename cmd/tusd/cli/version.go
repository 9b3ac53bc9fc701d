package cli

import (
	"fmt"
	"io"
	"runtime/debug"
)

// What this binary was built from. Releases set them when linking:
//
//	go build -ldflags "-X github.com/tus/tusd/cmd/tusd/cli.version=v1.2.3 -X ....commit=abc -X ....date=2026-11-22" ./cmd/tusd
//
// What is empty is taken from the information that the go command leaves.
var version, commit, date string

// build describes a binary.
type build struct {
	version, commit, date string
}

func writeVersion(w io.Writer) {
	info, _ := debug.ReadBuildInfo()
	b := describeBuild(build{version, commit, date}, info)
	fmt.Fprintf(w, "Version: %s\nCommit: %s\nDate: %s\n", b.version, b.commit, b.date)
}

// describeBuild fills what linked leaves open from info, which may be nil.
func describeBuild(linked build, info *debug.BuildInfo) build {
	b := linked
	if info == nil {
		info = &debug.BuildInfo{}
	}
	fill(&b.version, info.Main.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			fill(&b.commit, s.Value)
		case "vcs.time":
			fill(&b.date, s.Value)
		}
	}
	fill(&b.version, "unknown")
	fill(&b.commit, "unknown")
	fill(&b.date, "unknown")
	return b
}

func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
