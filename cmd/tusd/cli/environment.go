package cli

import (
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// environment has the variables of the process by their names.
type environment map[string]string

func newEnvironment(environ []string) environment {
	env := make(environment, len(environ))
	for _, variable := range environ {
		if name, value, ok := strings.Cut(variable, "="); ok {
			env[name] = value
		}
	}
	return env
}

// with returns the variables as os.Environ does, with variables in place of
// those of the same names.
func (env environment) with(variables ...string) []string {
	changed := maps.Clone(env)
	if changed == nil {
		changed = make(environment)
	}
	maps.Copy(changed, newEnvironment(variables))
	environ := make([]string, 0, len(changed))
	for name, value := range changed {
		environ = append(environ, name+"="+value)
	}
	slices.Sort(environ)
	return environ
}

// serviceLink matches what Kubernetes sets TUSD_PORT to if there is a service
// with the name tusd.
var serviceLink = regexp.MustCompile(`^(tcp|udp|sctp)://`)

// setting returns the value of a variable that sets a flag; "": it sets none.
func (env environment) setting(variable string) string {
	value := env[variable]
	if variable == "TUSD_PORT" && serviceLink.MatchString(value) {
		return ""
	}
	return value
}

// otherVariables begin with TUSD_ and are no settings: variables of profiling,
// of tests, of images and of Kubernetes.
var otherVariables = regexp.MustCompile(`^TUSD_(PPROF_AUTH|TEST_.*|FAULT_.*|VERSION|SERVICE_HOST|SERVICE_PORT.*|PORT_[0-9]+_.*)$`)

// unknown returns the variables that look like settings but are none, sorted.
func (env environment) unknown() []string {
	known := make(map[string]bool)
	allFlags(new(config), new(error)).VisitAll(func(f *flag.Flag) {
		if isSetting(f) {
			known[variableOf(f.Name)] = true
		}
	})
	var unknown []string
	for name := range env {
		if len(name) > 5 && strings.EqualFold(name[:5], "TUSD_") && !known[name] && !otherVariables.MatchString(name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// pprofAuth returns user:password for profiles. It is no flag, because every
// user of the machine can see flags.
func (env environment) pprofAuth() (string, error) {
	value := env["TUSD_PPROF_AUTH"]
	if value == "" || !strings.Contains(`"'`, value[:1]) { // a password may end with a quote
		return value, nil
	}
	value, err := unquote(value)
	if err != nil {
		return "", fmt.Errorf("invalid value of TUSD_PPROF_AUTH: it %w", err)
	}
	return value, nil
}

// readEnvironment sets what the command line has not set. An empty variable
// counts as unset.
func readEnvironment(flags *flag.FlagSet, env environment, given settingSources) error {
	var failed error
	flags.VisitAll(func(f *flag.Flag) {
		variable := variableOf(f.Name)
		value := env.setting(variable)
		if failed != nil || value == "" || given[f.Name] != "" || !isSetting(f) {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = fmt.Errorf("invalid value of %s: %w", variable, err)
		}
		given[f.Name] = variable
	})
	return failed
}

// variableOf returns the environment variable of a flag.
func variableOf(name string) string {
	return "TUSD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}
