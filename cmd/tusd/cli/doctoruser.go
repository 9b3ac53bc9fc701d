package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tus/tusd/cmd/tusd/cli/access"
	"github.com/tus/tusd/cmd/tusd/cli/doctor"
)

// asFlag is a flag of commands alone: the user that the server runs as.
const asFlag = "as"

// cutAsFlag removes -as from the arguments of a command; name is "" if it is
// not there. The rest are flags of the server.
func cutAsFlag(args []string) (name string, rest []string, err error) {
	for i := 0; i < len(args); i++ {
		flag, value, given := strings.Cut(strings.TrimPrefix(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") || flag != asFlag && flag != "-"+asFlag {
			rest = append(rest, args[i])
			continue
		}
		if !given && i+1 < len(args) {
			i++
			value = args[i]
		}
		if value == "" || name != "" {
			return "", nil, errors.New("-as needs one user: a name or a number")
		}
		name = value
	}
	return name, rest, nil
}

// runAs runs a command of tusd, which args begin with, in a process of the user name.
func runAs(ctx context.Context, name string, args []string, env environment, stdout, stderr io.Writer) int {
	cmd, err := commandAs(ctx, name, args, env)
	if err == nil {
		cmd.Stdout, cmd.Stderr = stdout, stderr
		err = cmd.Run()
	}
	var ended interface{ ExitCode() int }
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ended) && ended.ExitCode() >= 0:
		return ended.ExitCode() // it has printed why
	}
	fmt.Fprintf(stderr, "tusd: -as %s: %v\n", name, err)
	return exitFailed
}

// examineUser reports the user that the report holds for.
func (cfg config) examineUser(report *doctor.Report) {
	const subject = "user"
	me := access.Me()
	if !me.IsRoot() {
		report.OK(subject, "this runs as "+me.String()+"; the result holds if the server runs as the same user")
		return
	}
	const only = "this runs as root, and what root may do tells nothing about another user"
	storage, _ := cfg.chosenStorage()
	owner, path, known := cfg.ownerOfUploads()
	switch {
	case storage.flag != fileStorageKind.flag:
		report.OK(subject, only+": if the server runs as one, add -as USER")
	case known && !owner.IsRoot():
		report.Warn(subject, fmt.Sprintf("%s: %s belongs to %s. Add -as %s if the server runs as that user", only, path, owner, owner.Name()))
	default:
		report.Warn(subject, only+": add -as USER unless the server runs as root")
	}
}

// ownerOfUploads returns the owner of the upload directory, or of the nearest
// directory above it that exists.
func (cfg config) ownerOfUploads() (owner access.User, path string, known bool) {
	path, err := cfg.files().directory()
	if err != nil {
		return owner, path, false
	}
	path, info, err := access.Nearest(path)
	if err != nil {
		return owner, path, false
	}
	owner, known = access.Owner(info)
	return owner, path, known
}
