package etcdlocker

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// dialer makes a client when it is first needed. Its methods are not called concurrently.
type dialer struct {
	config clientv3.Config
	client *clientv3.Client // nil: not made yet
	end    context.CancelFunc
}

// connect returns the client. If there is none, it makes one until ctx ends: with a user
// and a password that takes a call of etcd.
func (d *dialer) connect(ctx context.Context) (*clientv3.Client, error) {
	if d.client != nil {
		return d.client, nil
	}
	config := d.config
	var end context.CancelFunc
	config.Context, end = context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, end)
	client, err := clientv3.New(config)
	if !stop() && err == nil { // ctx has ended, and so has the client
		client.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		end()
		return nil, err
	}
	d.client, d.end = client, end
	return client, nil
}

func (d *dialer) close() error {
	if d.client == nil {
		return nil
	}
	defer d.end()
	return d.client.Close()
}
