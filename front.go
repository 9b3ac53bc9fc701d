package tusd

import (
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/tus/tusd/internal/front"
)

func init() {
	front.Client = func(h any, addr netip.Addr) netip.Prefix { return h.(*Handler).clientPrefix(addr) }
	front.RefuseConnection = func(h any, w http.ResponseWriter, r *http.Request) {
		h.(*Handler).refuse(w, r, errTooManyConnections)
	}
	front.CountRefused = func(h any) *atomic.Uint64 {
		counter := new(atomic.Uint64)
		h.(*Handler).Metrics().LimitsExceeded["connections_per_client"] = counter
		return counter
	}
}
