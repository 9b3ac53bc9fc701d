package cli

// tlsModes are the values of -tls-mode, as in tusd v2.
func tlsModes() []string { return []string{"tls12", "tls12-strong", "tls13"} }
