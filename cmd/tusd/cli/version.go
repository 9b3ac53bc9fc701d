package cli

import (
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"strings"
)

// The version, commit and date of this binary. Releases set them when linking:
//
//	go build -ldflags "-X github.com/tus/tusd/cmd/tusd/cli.version=v1.2.3 -X ....commit=abc -X ....date=2026-11-22" ./cmd/tusd
//
// If one is empty, it comes from the build information of the go command.
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

// describeBuild fills empty fields of linked from info, which may be nil.
func describeBuild(linked build, info *debug.BuildInfo) build {
	b := linked
	if info == nil {
		info = &debug.BuildInfo{}
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	fill(&b.version, strings.Trim(info.Main.Version, "()")) // (devel): go run, or no repository
	if revision := settings["vcs.revision"]; revision != "" && settings["vcs.modified"] == "true" {
		fill(&b.commit, revision+" (modified)")
	} else {
		fill(&b.commit, revision)
	}
	fill(&b.date, settings["vcs.time"])
	if parts := pseudoVersion.FindStringSubmatch(info.Main.Version); parts != nil {
		fill(&b.commit, parts[2]) // of go install MODULE@COMMIT
		fill(&b.date, parts[1])
	}
	fill(&b.version, "unknown")
	fill(&b.commit, "unknown")
	fill(&b.date, "unknown")
	return b
}

// pseudoVersion matches the end of the version of a commit without a tag: its
// time and the beginning of its hash.
var pseudoVersion = regexp.MustCompile(`-(?:0\.)?([0-9]{14})-([0-9a-f]{12})(?:\+|$)`)

func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
