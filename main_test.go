package tusd_test

import (
	"os"
	"testing"

	"github.com/tus/tusd/internal/leaktest"
)

func TestMain(m *testing.M) { os.Exit(leaktest.Main(m)) }
