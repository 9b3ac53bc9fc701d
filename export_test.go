package tusd

// Parsers, for the tests outside the package.
var (
	ParseID        = parseID
	EscapeID       = escapeID
	ParsePartials  = parsePartials
	ParseInteger   = parseInteger
	ContentHeaders = contentHeaders
	RequestID      = requestID
	ParseBasePath  = parseBasePath
)

// ParseChecksum reads Upload-Checksum.
func ParseChecksum(s string) (algorithm string, want []byte, err error) {
	a, want, err := parseChecksum(s)
	if err != nil {
		return "", nil, err
	}
	return a.tus, want, nil
}
