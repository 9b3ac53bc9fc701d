package cli

import "fmt"

// writeStartup tells where the server is. Scripts read the last line.
func (d *daemon) writeStartup() {
	if !d.cfg.output.showStartupLogs {
		return
	}
	store := d.backend.store
	fmt.Fprintf(d.stdout, "Uploads are stored in %s (durability: %v)\n", store.Path, store.Durability)
	if d.admin != nil {
		fmt.Fprintf(d.stdout, "What operators look at is below http://%s/\n", d.admin.host)
	}
	for _, s := range d.sockets {
		if s.host == "" {
			fmt.Fprintf(d.stdout, "Uploads are received on the Unix socket %v\n", s.Addr())
		}
	}
	scheme := "http"
	if d.tls != nil {
		scheme = "https"
	}
	for _, s := range d.sockets {
		if s.host != "" {
			fmt.Fprintf(d.stdout, "You can now upload files to: %s://%s%s\n", scheme, s.host, d.cfg.listening.basePath)
		}
	}
}
