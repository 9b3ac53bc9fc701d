package etcdlocker_test

import (
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tus/tusd"
	"github.com/tus/tusd/etcdlocker"
)

// The locks of a store are in etcd.
func Example() {
	composer := tusd.NewStoreComposer()
	// store.UseIn(composer)

	locker := etcdlocker.Open(clientv3.Config{Endpoints: []string{"https://etcd1:2379", "https://etcd2:2379"}}, etcdlocker.Options{Prefix: "uploads"})
	locker.UseIn(composer)
	// at the end: handler.Shutdown, then locker.Close
}
