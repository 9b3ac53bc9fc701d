package redislocker_test

import (
	"log"

	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"
	"github.com/redis/go-redis/v9"

	"github.com/tus/tusd"
	"github.com/tus/tusd/redislocker"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// Several processes on a bucket, with their locks in Redis.
func Example() {
	composer := tusd.NewStoreComposer()
	s3store.New("uploads", awsv1.New("uploads", s3.New(session.Must(session.NewSession())))).UseIn(composer)

	client := redis.NewClient(&redis.Options{Addr: "redis.example.org:6379", ContextTimeoutEnabled: true})
	locker := redislocker.New(client, redislocker.Options{Prefix: "uploads"})
	locker.UseIn(composer)

	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, BasePath: "/files/"})
	if err != nil {
		log.Fatal(err)
	}
	_ = handler // at the end: handler.Shutdown, then locker.Close, then client.Close
}
