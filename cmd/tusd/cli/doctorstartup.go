package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/tus/tusd/cmd/tusd/cli/doctor"
	"github.com/tus/tusd/hooks/filehook"
)

// examineStartup tries what the server does at its start before it opens the
// store, in the same order. It does not disturb a server that runs.
func (cfg config) examineStartup(report *doctor.Report) {
	if pair := cfg.tls; pair.enabled() {
		_, err := tls.LoadX509KeyPair(pair.certificate, pair.key)
		reportResult(report, "TLS certificate "+pair.certificate, withAdvice(err, "."))
	}
	if cfg.pidFile != "" {
		examinePIDFile(report, cfg.pidFile)
	}
	if cfg.listening.unixSock != "" {
		cfg.listening.examineSocket(report)
	} else {
		examinePort(report, net.JoinHostPort(cfg.listening.host, strconv.Itoa(int(cfg.listening.port))))
	}
	if address := cfg.monitoring.adminListen; address != "" {
		examinePort(report, address)
	}
}

// examineHooks looks at the programs that are hooks. It calls none, and no endpoint.
func (cfg config) examineHooks(report *doctor.Report) {
	if file := cfg.hooks.file; file.used() {
		reportResult(report, "hooks in "+file.dir, withAdvice((&filehook.Hook{Dir: file.dir}).Setup(context.Background()), "."))
		file.eachUseless(cfg.hooks, func(path, problem string) { report.Warn("hook "+path, problem) })
	}
	if plugin := cfg.hooks.plugin; plugin.used() {
		_, err := exec.LookPath(plugin.path)
		reportResult(report, "plugin "+plugin.path, withAdvice(err, "."))
	}
}

// reportResult reports subject as ok, or as missing if err is not nil.
func reportResult(report *doctor.Report, subject string, err error) {
	if err != nil {
		report.Missing(subject, err.Error())
		return
	}
	report.OK(subject, "")
}

// examinePIDFile reports a PID file of a running server as ok.
func examinePIDFile(report *doctor.Report, path string) {
	subject := "PID file " + path
	pid, err := readPIDFile(path)
	switch {
	case err == nil && pid != os.Getpid() && isRunning(pid):
		report.OK(subject, fmt.Sprintf("process %d runs: no other server starts with this file meanwhile", pid))
		return
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		report.Missing(subject, withAdvice(err, ".").Error())
		return
	}
	reportResult(report, subject, tryFileBeside(path, socketAccess{}))
}

// examineSocket makes no socket: a server that starts may be making its own.
func (l listenSettings) examineSocket(report *doctor.Report) {
	subject := "socket " + l.unixSock
	if err := checkSocketPath(l.unixSock); err != nil {
		report.Missing(subject, err.Error())
		return
	}
	used, err := findSocket(l.unixSock)
	switch {
	case used:
		report.OK(subject, "a server listens there: no other starts meanwhile")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		report.Missing(subject, withAdvice(err, ".").Error())
	default:
		reportResult(report, subject, tryFileBeside(l.unixSock, l.unixAccess))
	}
}

// tryFileBeside makes a file next to path, sets the group and the mode of
// access, if any, and removes it.
func tryFileBeside(path string, access socketAccess) error {
	group, err := access.groupID()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tusd-doctor-*")
	if err != nil {
		return withAdvice(err, ".")
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if access.restricted() {
		return access.open(f.Name(), group)
	}
	return nil
}

// examinePort reports whether the server can listen on a TCP address.
func examinePort(report *doctor.Report, address string) {
	subject := "address " + address
	switch err := doctor.TryPort(address); {
	case errors.Is(err, syscall.EADDRINUSE):
		report.Warn(subject, "it is in use: unless tusd itself or its systemd socket uses it, tusd cannot start")
	default:
		reportResult(report, subject, withPortAdvice(err))
	}
}
