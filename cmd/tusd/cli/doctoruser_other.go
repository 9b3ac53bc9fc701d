//go:build !unix

package cli

import (
	"context"
	"errors"
	"os/exec"
)

func commandAs(context.Context, string, []string, environment) (*exec.Cmd, error) {
	return nil, errors.New("this system has no such users: run it as the user of the server")
}
