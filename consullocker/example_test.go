package consullocker_test

import (
	"log"

	"github.com/hashicorp/consul/api"

	"github.com/tus/tusd"
	"github.com/tus/tusd/consullocker"
)

// The locks of a store are in Consul.
func Example() {
	composer := tusd.NewStoreComposer()
	// store.UseIn(composer)

	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		log.Fatal(err)
	}
	locker := consullocker.New(client, consullocker.Options{Prefix: "uploads"})
	locker.UseIn(composer)
	// at the end: handler.Shutdown, then locker.Close
}
