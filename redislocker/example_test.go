package redislocker_test

import (
	"github.com/redis/go-redis/v9"

	"github.com/tus/tusd"
	"github.com/tus/tusd/redislocker"
)

// The locks of a store are in Redis.
func Example() {
	composer := tusd.NewStoreComposer()
	// store.UseIn(composer)

	client := redis.NewClient(&redis.Options{Addr: "redis.example.org:6379", ContextTimeoutEnabled: true})
	locker := redislocker.New(client, redislocker.Options{Prefix: "uploads"})
	locker.UseIn(composer)
	// at the end: handler.Shutdown, then locker.Close, then client.Close
}
