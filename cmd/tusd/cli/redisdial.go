package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisDialTimeout bounds a connection to Redis, with TLS.
const redisDialTimeout = 1500 * time.Millisecond

// dialRedis makes connections, with TLS if config is not nil. The client's own dialer does not end a TLS
// handshake when its context ends.
func dialRedis(config *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, redisDialTimeout)
		defer cancel()
		plain := &net.Dialer{KeepAlive: time.Minute}
		dial := plain.DialContext
		if config != nil {
			dial = (&tls.Dialer{NetDialer: plain, Config: config}).DialContext
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", address, err)
		}
		return conn, nil
	}
}

// greetRedis is called for each new connection. Without it, a missing password shows as an
// error of the protocol.
func greetRedis(ctx context.Context, conn *redis.Conn) error { return conn.Ping(ctx).Err() }
