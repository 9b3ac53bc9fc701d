package cli

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The manifests in docs/kubernetes are YAML, of which these tests read lines.
// internal/kubernetestest reads all of it.

func deployment(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/kubernetes/tusd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// yamlValues returns the values of a key wherever it is.
func yamlValues(text, key string) (values []string) {
	for _, found := range regexp.MustCompile(`(?m)^\s*(?:- )?`+key+`: ([^ #\n]+)`).FindAllStringSubmatch(text, -1) {
		values = append(values, found[1])
	}
	return values
}

// manifestArgs returns the arguments of the container.
func manifestArgs(t *testing.T, text string) (args []string) {
	t.Helper()
	_, below, found := strings.Cut(text, "\n          args:\n")
	if !found {
		t.Fatal("there are no arguments")
	}
	for line := range strings.Lines(below) {
		arg, ok := strings.CutPrefix(line, "            - ")
		if !ok {
			return args
		}
		args = append(args, strings.TrimSpace(arg))
	}
	t.Fatal("the arguments do not end")
	return nil
}

// The arguments are accepted together, and the probes and times are those of the server.
func TestKubernetesDoc(t *testing.T) {
	text := deployment(t)
	args := manifestArgs(t, text)
	for i, arg := range args {
		if strings.HasPrefix(arg, "-redis-password-file=") {
			args[i] = "-redis-password-file=" + secretFile(t, "secret")
		}
	}
	cfg, err := readConfig(args, nil)
	if err != nil {
		t.Fatal(err)
	}
	if kind, _ := cfg.chosenLocker(); kind.name != "redis" || cfg.s3().bucket == "" {
		t.Errorf("locks in %s, bucket %q", kind.name, cfg.s3().bucket)
	}
	if len(cfg.listening.trustedProxies) == 0 {
		t.Error("no proxy in the cluster is trusted")
	}
	if paths := yamlValues(text, "path"); !slices.Equal(paths, []string{healthPath, healthPath, readyPath}) {
		t.Errorf("the probes ask %q", paths)
	}
	grace, stop := yamlSeconds(t, text, "terminationGracePeriodSeconds"), yamlSeconds(t, text, "seconds")
	if least := stop + cfg.timeouts.shutdown + lockServiceCloseTimeout + drainTime; grace <= least {
		t.Errorf("the pod is killed after %v, and may need %v to stop", grace, least)
	}
	if tries := yamlSeconds(t, text, "failureThreshold"); 10*tries < cfg.s3().startTimeout+30*time.Second {
		t.Errorf("the pod is killed after %v of its start", 10*tries)
	}
	if longest := yamlSeconds(t, text, "timeoutSeconds"); longest <= probeTimeout {
		t.Errorf("a probe that takes %v fails", longest)
	}
}

// yamlSeconds returns the one value of a key, in seconds.
func yamlSeconds(t *testing.T, text, key string) time.Duration {
	t.Helper()
	values := yamlValues(text, key)
	if len(values) != 1 {
		t.Fatalf("%s has the values %q", key, values)
	}
	n, err := strconv.Atoi(values[0])
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n) * time.Second
}
