//go:build linux

package e2e

import (
	"testing"
)

// proxiedSize is the content of an upload without trouble.
const proxiedSize = 20*mib + 1

func TestProxiesUpload(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, kind := range allProxies {
			t.Run(kind.String()+" "+scheme, func(t *testing.T) {
				t.Parallel()
				startChain(t, kind, scheme).upload(t, proxiedSize)
			})
		}
	}
}
