package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"help"}, exitOK, "Usage: tusd [flags]"},
		{[]string{"help", "doctor"}, exitOK, "Usage: tusd doctor [-as user] [flags]"},
		{[]string{"doctor", "-help"}, exitOK, "Usage: tusd doctor [-as user] [flags]"},
		{[]string{"help", "version"}, exitOK, "Usage: tusd version"},
		{[]string{"version"}, exitOK, "Version: "},
		{[]string{"version", "--help"}, exitOK, "Usage: tusd version"},
		{[]string{"help", "docs"}, exitUsage, ""},
		{[]string{"help", "docter"}, exitUsage, `there is no command "docter": did you mean doctor?`},
		{[]string{"versoin"}, exitUsage, `there is no command "versoin": did you mean version?`},
		{[]string{"Doctor"}, exitUsage, `there is no command "Doctor": did you mean doctor?`},
		{[]string{"serve"}, exitUsage, "argument 1 is neither a flag nor a command"},
		{[]string{"version", "now"}, exitUsage, "version takes no arguments"},
		{[]string{"help", "doctor", "now"}, exitUsage, "one command"},
		{[]string{"doctor", "help"}, exitUsage, "argument 1 is the command help, which comes first: tusd help"},
		{[]string{"-verbose", "help"}, exitUsage, "argument 2 is the command help, which comes first"},
	} {
		var stdout, stderr bytes.Buffer
		code := Run(t.Context(), c.args, nil, &stdout, &stderr)
		written, empty := &stdout, &stderr
		if c.code != exitOK {
			written, empty = &stderr, &stdout
		}
		if code != c.code || !strings.Contains(written.String(), c.want) || empty.Len() > 0 {
			t.Errorf("%q: exit code %d, %.200s%.200s; want %d, %q", c.args, code, &stdout, &stderr, c.code, c.want)
		}
	}
}
