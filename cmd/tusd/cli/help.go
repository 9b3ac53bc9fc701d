package cli

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

const helpIntro = `tusd receives resumable uploads (https://tus.io) and stores them.

Usage: tusd [flags]
`

const helpSources = `
Every flag but -version can also be set by a variable of the environment
(TUSD_UPLOAD_DIR for -upload-dir) or in the file that -config names. A flag
comes before a variable, a variable before the file. A value may be in quotes.

Sizes are bytes, or have a unit: 512K, 10G and 10GiB count in powers of 1024,
10GB in powers of 1000. Durations have a unit: 500ms, 30s, 2m, 12h, 1d. What is
on or off takes true and false, yes and no, on and off (-verbose=no).
`

// writeHelp explains all flags.
func writeHelp(w io.Writer) {
	fmt.Fprint(w, helpIntro)
	for _, c := range commands() {
		fmt.Fprintf(w, "       tusd %-16s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, helpSources)
	for _, s := range sections(new(config)) {
		s.writeHelp(w)
	}
}

func (s section) writeHelp(w io.Writer) {
	fmt.Fprintf(w, "\n%s:\n", s.title)
	s.flags.VisitAll(func(f *flag.Flag) { writeFlagHelp(w, f) })
}

func writeFlagHelp(w io.Writer, f *flag.Flag) {
	argument, usage := flag.UnquoteUsage(f)
	if argument != "" {
		argument = " " + argument
	}
	const indent = "\n        "
	fmt.Fprintf(w, "  -%s%s%s%s", f.Name, argument, indent, strings.ReplaceAll(usage, "\n", indent))
	if f.DefValue != "" && f.DefValue != "false" {
		fmt.Fprintf(w, " (default %s)", f.DefValue)
	}
	fmt.Fprintln(w)
}
