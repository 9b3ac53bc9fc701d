package etcdlocker

import (
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const own, other clientv3.LeaseID = 1, 2

// at returns a claim of another process that began at order.
func at(order int64) *claim { return &claim{token: "OTHER", order: order, session: other} }

func TestNext(t *testing.T) {
	preempt, waits := claim{token: "ME", order: 10, session: own}, claim{token: "ME", order: behindAll, session: own}
	mine := func(holder string) *claim { return &claim{token: "ME", order: 10, session: own, holder: holder} }
	for _, c := range []struct {
		name string
		me   claim
		view view
		want step
	}{
		{"free", preempt, view{}, take},
		{"free, of a waiter", waits, view{}, take},
		{"held by an older one", preempt, view{lock: at(5)}, wish},
		{"held by one that preempts no holder", preempt, view{lock: at(behindAll)}, wish},
		{"held, of a waiter", waits, view{lock: at(5)}, wait},
		{"held by a newer one", preempt, view{lock: at(11)}, overtaken},
		{"held by a newer one, of a waiter", waits, view{lock: at(11)}, wait},
		{"wanted by an older one", preempt, view{lock: at(3), wish: at(5)}, wish},
		{"wanted by a newer one", preempt, view{lock: at(3), wish: at(11)}, overtaken},
		{"free, and wanted by an older one", preempt, view{wish: at(5)}, take},
		{"free, and wanted by a newer one", preempt, view{wish: at(11)}, overtaken},
		{"free, and wanted by another, of a waiter", waits, view{wish: at(5)}, wait},
		{"its wish waits", preempt, view{lock: at(5), wish: mine("OTHER")}, wait},
		{"its wish names an earlier holder", preempt, view{lock: at(5), wish: mine("GONE")}, wish},
		{"free, and its wish waits", preempt, view{wish: mine("OTHER")}, take},
		{"its lock", preempt, view{lock: mine("")}, granted},
		{"its lock, of an earlier session", preempt, view{lock: &claim{token: "ME", order: 10, session: other}}, wish},
		{"its lock, and a newer wish", preempt, view{lock: mine(""), wish: at(11)}, granted},
		{"a lock that its process left behind", preempt, view{lock: &claim{token: "GONE", order: 11, session: own}}, take},
		{"a wish that its process left behind", waits, view{wish: &claim{token: "GONE", order: 11, session: own}}, take},
		{"a wish that its process left behind, and held", preempt, view{lock: at(5), wish: &claim{token: "GONE", order: 11, session: own}}, wish},
	} {
		if got := c.view.next(c.me); got != c.want {
			t.Errorf("%s: step %d, want %d", c.name, got, c.want)
		}
	}
}

func TestClaimValue(t *testing.T) {
	for _, c := range []claim{
		{token: "T", order: 5, process: "host:1", holder: "H", holderSession: 0x7fffffffffffffff},
		{token: "T", order: behindAll, process: "host:1", holder: none},
	} {
		kv := &mvccpb.KeyValue{Value: []byte(c.value()), Lease: 7, ModRevision: 9}
		got, err := parseClaim(kv)
		c.session, c.revision = 7, 9
		if err != nil || *got != c {
			t.Errorf("%q is read as %+v, %v; want %+v", kv.Value, got, err, c)
		}
	}
	// A LockPreempt that took a free lock began before the grant, and before every request that saw it.
	if got, err := parseClaim(&mvccpb.KeyValue{Value: []byte(claim{token: "T", process: "p"}.value()), ModRevision: 9}); err != nil || got.order != 8 {
		t.Errorf("%+v, %v; want the order 8", got, err)
	}
	if got, err := parseClaim(&mvccpb.KeyValue{Value: []byte("x")}); err == nil {
		t.Errorf("a value of another program is read as %+v", got)
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[int64]int64{1: 1, 1e9: 1, 1e9 + 1: 2, 10e9: 10} {
		if got := seconds(time.Duration(d)); got != want {
			t.Errorf("%d ns are %d s, want %d", d, got, want)
		}
	}
}
