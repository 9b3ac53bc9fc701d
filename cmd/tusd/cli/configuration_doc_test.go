package cli

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"
)

func configurationDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The example file in docs/configuration.md has the values that the text says.
func TestConfigurationDocFile(t *testing.T) {
	file := regexp.MustCompile("(?s)\n```\n(.*?)```").FindStringSubmatch(configurationDoc(t))
	if file == nil {
		t.Fatal("there is no file")
	}
	cfg, err := readConfig([]string{"-config", configFile(t, file[1])}, nil)
	if err != nil || cfg.listening.host != "127.0.0.1" || cfg.files().uploadDir != "/srv/large # files" || cfg.protocol.maxSize != 10<<30 ||
		cfg.timeouts.network != 2*time.Minute || !cfg.protocol.disableDownload || cfg.monitoring.showGreeting {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestConfigurationDocSizes(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| (`[^|]*`) \\| ([0-9]+) \\|$").FindAllStringSubmatch(configurationDoc(t), -1)
	sizes := 0
	for _, row := range rows {
		want, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			if got, err := parseSize(size[1]); err != nil || got != want {
				t.Errorf("%s: %d, %v; the document says %d", size[1], got, err, want)
			}
			sizes++
		}
	}
	if sizes < 9 {
		t.Errorf("only %d sizes were found", sizes)
	}
}
