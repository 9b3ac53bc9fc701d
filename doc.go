// Package tusd is a server for resumable uploads: it speaks the tus 1.0
// protocol (https://tus.io/protocols/resumable-upload) and, on the same URLs,
// the IETF draft "Resumable Uploads for HTTP" (interop versions 3 to 9), over
// net/http.
//
// A client creates an upload with POST and sends its bytes with PATCH requests.
// After a failure it asks for the offset with HEAD and continues there. A client
// never has to send bytes again that an answer has acknowledged by its offset.
//
// A complete server:
//
//	store := filestore.FileStore{Path: "./uploads"}
//	composer := tusd.NewStoreComposer()
//	store.UseIn(composer)
//	handler, err := tusd.NewHandler(tusd.Config{BasePath: "/files/", StoreComposer: composer})
//	if err != nil {
//		log.Fatalf("unable to create handler: %s", err)
//	}
//	http.Handle("/files/", handler)
//	log.Fatal(http.ListenAndServe(":8080", nil))
//
// A [StoreComposer] names the parts: a [DataStore] keeps uploads, small interfaces
// ([Terminater], [Concater] and others) add abilities, and a [Locker] makes sure that one
// request at a time changes an upload. The handler neither serves nor advertises an
// extension that the store lacks. An acknowledged byte is as durable as the store
// promises; package filestore has the levels for a disk.
//
// The sections below are for three readers. Each lists the names in the order in which they
// are needed. Complete examples, which run as tests, are in the files example_*_test.go.
//
// # For programs that embed the handler
//
// Make it: fill a [Config], whose [StoreComposer] has a store of filestore or s3store (perhaps
// with a limit of limitedstore), and
// call [NewHandler]. Several processes on one directory also need filelocker.
//
// Mount it: [Config].BasePath is the path of the creation URL as clients see it, with the
// prefixes of all routers. The handler serves every method, at that path with and without
// its last slash, and at all paths below it:
//
//	mux.Handle("/files", handler) // http.ServeMux, with or without http.StripPrefix
//	mux.Handle("/files/", handler)
//
//	router.Mount("/files", handler) // chi
//
//	router.Any("/files", gin.WrapH(handler)) // gin
//	router.Any("/files/*id", gin.WrapH(handler))
//
//	e.Any("/files", echo.WrapHandler(handler)) // echo
//	e.Any("/files/*", echo.WrapHandler(handler))
//
// [Handler.ServeUpload] is for a router that parses the path itself. A middleware that wraps
// http.ResponseWriter gives its wrapper a method Unwrap() http.ResponseWriter, so that the
// handler can set deadlines. ReadTimeout and WriteTimeout of http.Server stay 0, because
// uploads take long: [Config].NetworkTimeout follows their progress.
//
// Authorize every request, by two [Callbacks]. A creation has no pre-access, and an existing
// upload no pre-create. Their ctx has the values that a middleware has put into the context
// of the request, here the user:
//
//	callbacks.PreCreate = func(ctx context.Context, _ tusd.Event) (response tusd.HTTPResponse, changes tusd.FileInfoChanges, err error) {
//		if changes.Owner = userOf(ctx); changes.Owner == "" {
//			err = tusd.ErrAccessDenied
//		}
//		return response, changes, err
//	}
//	callbacks.PreAccess = func(ctx context.Context, event tusd.Event) error {
//		record, err := event.Record(ctx)
//		if user := userOf(ctx); err == nil && (user == "" || record.Owner != user) {
//			err = tusd.ErrNotFound
//		}
//		return err
//	}
//
// Then, as needed:
//
//   - [Callbacks], [Error.Refuse]: refuse or change an upload before it exists (PreCreate), or
//     refuse it when its bytes are stored (PreFinish). The answers are [ErrUploadRejected],
//     [ErrAccessDenied], [ErrTerminationRejected] or copies of them.
//   - [EventSink], in [Config].Events: all events of all uploads, and post-finish until the
//     sink has taken it, also after a crash. Package filestore says what a program may do with a finished file.
//   - [EventReceiver], in [Config].Delivery: the same in the background, for a receiver that may be slow
//     or away. Package hooks uses it, to call programs and services of an operator.
//   - [Handler.Subscribe]: the same events for a consumer that may lose some.
//   - [Handler.Info]: the record ([FileInfo]) of an upload. [StoreComposer].Lister lists uploads.
//   - [Handler.Terminate], [Handler.TryTerminate]: remove an upload; the second interrupts no request.
//   - [Handler.Running], [Handler.StopUpload]: the requests that are being received; end one.
//   - [Handler.Metrics]: counters; package prometheuscollector exposes them.
//
// Shut down in this order: [Handler.Shutdown] stores what has arrived and makes clients try
// again later, http.Server.Shutdown waits for downloads, FileStore.Close lets another
// process use the directory.
//
// # For authors of a store
//
//   - [DataStore], [Upload]: the methods that every store has. Their comments are the contract.
//   - [FileInfo], [Env], [Lease], [CheckLease]: what the methods get, and who may change an upload.
//   - [ErrNotFound] and the errors beside it: what the handler understands. [Error.With] adds the cause.
//   - [Terminater], [Concater], [LengthDeferrer], [ContentServer], [AtomicWriter], [Rewinder]:
//     abilities, each for an extension of the protocol.
//   - [SideRecords]: finishing and building go on after a restart. [Lister]: programs can sweep.
//   - [StoreComposer.UseCore]: takes all abilities that the type has.
//   - [ValidateSideRecord], [ClaimedOffset], [FileInfo.Clone]: help.
//
// The package storetest proves each sentence of the contract: call storetest.Run in a test.
//
// # For authors of a locker
//
//   - [Locker], [Lease]: the methods. Their comments are the contract.
//   - [LockMode], [Scope]: what a caller asks for, and how far the lock reaches.
//   - [ErrUploadLocked], [ErrLockTimeout], [ErrLockLost], [ErrLockServiceUnavailable]: the errors
//     that the handler understands.
//   - [PreemptNotifier]: saves a goroutine for each slow upload.
//   - [StoreComposer.UseLocker]: a composer without a locker has a [LocalLocker].
//
// The package lockertest proves each sentence of the contract: call lockertest.Run in a test.
package tusd
