// Package clustertest runs three daemons behind HAProxy, and many clients, while nodes and
// the lock service fail. The daemons share a directory, with the file locker, or a bucket
// of versitygw, with each lock service. They have one endpoint for their hooks, which fails a third of
// the calls, and must have all events at the end.
//
//	cluster_test.go  the tests, and the checks at their end
//	nodes_test.go    daemons, HAProxy, a network to the lock service for each daemon
//	faults_test.go   the plan of faults, and the faults
//	client_test.go   a client: it uploads, resumes, concatenates, compares, terminates
//	upload_test.go   what a client knows of one upload, and which answers it may get
//	counts_test.go   answers and bytes of all clients
//	events_test.go   the endpoint for hooks, and what it must have
//	checks_test.go   the checks can fail
//
// A node is killed, stopped with SIGSTOP for longer than a lease lives, and cut off from
// the lock service. All nodes are restarted, one after another. The lock service is killed
// and started again, Redis without data.
//
// # Running
//
//	TUSD_TEST_REQUIRE=haproxy,versitygw,redis go test -v -timeout 20m -run Redis ./internal/clustertest
//
// runs a short form: 12 clients and each fault once, in two minutes. TUSD_TEST_CLUSTER_TIME=10m makes it
// as long, with 200 clients. The log begins with the seed; TUSD_TEST_SEED repeats its faults
// and uploads.
package clustertest
