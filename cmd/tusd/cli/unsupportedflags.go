package cli

import (
	"flag"
	"fmt"
	"strings"
)

// unsupportedFlags returns the flags of tusd v2 that this program does not have
// yet, by their feature. They are refused by name: an operator who switches
// over must not find out later that a setting had no effect.
func unsupportedFlags() map[string]string {
	return map[string]string{
		"storage in Google Cloud Storage": "gcs-bucket gcs-object-prefix gcs-endpoint",
		"storage in Azure Blob Storage":   "azure-storage azure-container-access-type azure-blob-access-tier azure-object-prefix azure-endpoint",
	}
}

// removedFlags returns flags of earlier versions of tusd, and what to use
// instead.
func removedFlags() map[string]string {
	return map[string]string{
		"dir":             "use -upload-dir",
		"timeout":         "use -network-timeout, which takes a duration like 60s rather than milliseconds",
		"hooks-stop-code": "a hook now stops an upload by what it answers",
		"cpuprofile":      "use -expose-pprof: profiles come from the running server",
	}
}

// refuseUnsupported adds unsupportedFlags and removedFlags, which fail with a
// sentence of their own. It is stored in refused, because package flag would
// wrap the error in one about an invalid value.
func refuseUnsupported(flags *flag.FlagSet, refused *error) {
	for feature, names := range unsupportedFlags() {
		for name := range strings.FieldsSeq(names) {
			flags.Var(refusedFlag{fmt.Errorf("-%s is not supported yet: %s, still to be built", name, feature), refused}, name, "")
		}
	}
	for name, advice := range removedFlags() {
		flags.Var(refusedFlag{fmt.Errorf("-%s is a flag of older versions: %s", name, advice), refused}, name, "")
	}
}

// refusedFlag is a flag.Value that accepts no value.
type refusedFlag struct {
	err     error
	refused *error
}

func (r refusedFlag) String() string { return "" }

// Set refuses, unless the value is empty: scripts write -gcs-bucket="$BUCKET" for
// tusd v2, where an empty value has no effect.
func (r refusedFlag) Set(value string) error {
	if value == "" {
		return nil
	}
	*r.refused = r.err
	return r.err
}

// IsBoolFlag makes package flag call Set with and without a value.
func (r refusedFlag) IsBoolFlag() bool { return true }

func isRefusal(v flag.Value) bool {
	_, ok := v.(refusedFlag)
	return ok
}
