package etcdlocker

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// keepAlive renews etcd leases over one stream, which stays open: with a user and a
// password each new stream makes etcd hash the password. The method of the client tries
// again without a pause while etcd does not answer. Its methods are not called
// concurrently.
type keepAlive struct {
	stream pb.Lease_LeaseKeepAliveClient // nil: there is none
	ctx    context.Context               // of the stream
	end    context.CancelFunc            // of ctx; nil: there is none
}

// renew renews the lease id. The error is ErrLeaseNotFound if it does not exist any more.
func (k *keepAlive) renew(ctx context.Context, client *clientv3.Client, id clientv3.LeaseID) error {
	ttl, err := k.exchange(ctx, client, id)
	if err != nil {
		k.close()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		client.ActiveConnection().ResetConnectBackoff() // the next call connects at once
		return rpctypes.Error(err)
	}
	if ttl <= 0 {
		return rpctypes.ErrLeaseNotFound
	}
	return nil
}

// exchange sends a request and waits for the answer. The end of ctx ends the stream.
func (k *keepAlive) exchange(ctx context.Context, client *clientv3.Client, id clientv3.LeaseID) (ttl int64, err error) {
	if k.end == nil {
		k.ctx, k.end = context.WithCancel(context.Background())
	}
	stop := context.AfterFunc(ctx, k.end)
	defer func() {
		if !stop() {
			k.close()
		}
	}()
	if k.stream == nil {
		if k.stream, err = pb.NewLeaseClient(client.ActiveConnection()).LeaseKeepAlive(k.ctx); err != nil {
			return 0, err
		}
	}
	if err := k.stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
		return 0, err
	}
	answer, err := k.stream.Recv()
	return answer.GetTTL(), err
}

// close ends the stream.
func (k *keepAlive) close() {
	if k.end != nil {
		k.end()
	}
	k.stream, k.ctx, k.end = nil, nil, nil
}
