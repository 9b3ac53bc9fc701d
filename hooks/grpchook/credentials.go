package grpchook

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc/credentials"
)

// LoadCredentials returns credentials for TLS from files in PEM. server has the certificates
// by which the service, or the authority that has signed its certificate, is known. client and key are what
// tusd shows to a service that asks for it; "" and "": nothing.
func LoadCredentials(server, client, key string) (credentials.TransportCredentials, error) {
	pem, err := os.ReadFile(server)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", server)
	}
	if client != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(client, key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}
