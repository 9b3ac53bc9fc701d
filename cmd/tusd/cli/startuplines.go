package cli

import (
	"fmt"
	"net"
)

// writeStartup prints where the server is. Scripts read the last line.
func (d *daemon) writeStartup() {
	if !d.cfg.output.showStartupLogs {
		return
	}
	d.printLine("Uploads are stored in %s", d.composition.storage.where())
	if kinds, events := d.cfg.hooks.summary(); kinds != "" {
		d.printLine("Hooks (%s) get %s", kinds, events)
	}
	if d.admin != nil {
		d.printLine("The pages for operators are below http://%s/", d.admin.host)
	}
	for _, s := range d.sockets {
		if s.host == "" {
			d.printLine("Uploads are received on the Unix socket %v", s.Addr())
		}
	}
	for _, s := range d.sockets {
		if s.everywhere {
			d.printLine("Every address of this machine takes connections, at port %d", s.Addr().(*net.TCPAddr).Port)
		}
	}
	scheme := "http"
	if d.certificates != nil {
		scheme = "https"
	}
	for _, s := range d.sockets {
		if s.host != "" {
			d.printLine("You can now upload files to: %s://%s%s", scheme, s.host, d.cfg.listening.basePath)
		}
	}
}

// printLine prints a line for people and scripts. If the log is JSON, the line
// is a record of the log, since all of the output must be JSON then.
func (d *daemon) printLine(format string, args ...any) {
	if d.cfg.output.logFormat == jsonFormat {
		d.logger.Info(fmt.Sprintf(format, args...))
		return
	}
	fmt.Fprintf(d.stdout, format+"\n", args...)
}
