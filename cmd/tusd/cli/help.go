package cli

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

const helpIntro = `tusd receives resumable uploads (https://tus.io) and stores them.

Usage: tusd [flags]
       tusd doctor [flags]   tries out where uploads would be kept

Every flag but -version can also be set by a variable of the environment
(TUSD_UPLOAD_DIR for -upload-dir) or in the file that -config names. A flag
comes before a variable, a variable before the file.
`

// writeHelp explains all flags.
func writeHelp(w io.Writer) {
	fmt.Fprint(w, helpIntro)
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
