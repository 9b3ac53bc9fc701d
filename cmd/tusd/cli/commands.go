package cli

import (
	"context"
	"fmt"
	"io"
)

// command is a first argument with which tusd does not serve.
type command struct {
	name    string
	summary string
	run     func(c invocation) int
	help    func(io.Writer)
}

// invocation is how a command was called: args are the arguments behind its
// name.
type invocation struct {
	ctx            context.Context
	args           []string
	env            environment
	stdout, stderr io.Writer
}

// usageError prints a problem with the arguments and returns the exit code.
func (c invocation) usageError(problem, listed string) int {
	fmt.Fprintf(c.stderr, "tusd: %s\nRun %s.\n", problem, listed)
	return exitUsage
}

func commands() []command {
	return []command{
		commandOf(lsCommand),
		commandOf(showCommand),
		commandOf(rmCommand),
		commandOf(sweepCommand),
		commandOf(verifyCommand),
		{hooksName, "list and change events that no hook has yet", runHooks, writeHooksHelp},
		{doctorName, "try out where uploads would be kept", runDoctor, writeDoctorHelp},
		{"help", "explain the flags, or a command: tusd help doctor", runHelp, usageOf("tusd help [command]", "It explains the flags of the server, or a command.")},
		{"version", "print what this program was built from", runVersion, usageOf("tusd version", "It prints what this program was built from.")},
	}
}

func commandNames() (names []string) {
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// findCommand returns the command of that name, or false.
func findCommand(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

func usageOf(usage, text string) func(io.Writer) {
	return func(w io.Writer) { fmt.Fprintf(w, "Usage: %s\n\n%s\n", usage, text) }
}

const listOfCommands = "tusd help for the list of commands and flags"

// runHelp is tusd help.
func runHelp(c invocation) int {
	switch {
	case len(c.args) == 0:
		writeHelp(c.stdout)
		return exitOK
	case len(c.args) > 1:
		return c.usageError("help explains one command at a time", listOfCommands)
	case asksForHelp(c.args[0]):
		c.args[0] = "help"
	}
	about, ok := findCommand(c.args[0])
	if !ok {
		return c.usageError(noCommand(1, c.args[0]), listOfCommands)
	}
	about.help(c.stdout)
	return exitOK
}

// runVersion is tusd version.
func runVersion(c invocation) int {
	switch {
	case len(c.args) == 0:
		writeVersion(c.stdout)
	case len(c.args) == 1 && asksForHelp(c.args[0]):
		about, _ := findCommand("version")
		about.help(c.stdout)
	default:
		return c.usageError("version takes no arguments", listOfCommands)
	}
	return exitOK
}

// asksForHelp reports whether an argument is the flag that package flag knows.
func asksForHelp(argument string) bool {
	switch argument {
	case "-h", "--h", "-help", "--help":
		return true
	}
	return false
}

// noCommand returns the error for the nth argument, which should be a command.
// It may be a secret, so it is repeated only if it is nearly the name of a
// command.
func noCommand(n int, word string) string {
	if name := closest(word, commandNames()); name != "" {
		return fmt.Sprintf("there is no command %q: did you mean %s?", word, name)
	}
	return fmt.Sprintf("argument %d is neither a flag nor a command", n)
}
