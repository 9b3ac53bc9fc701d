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
// # Parts
//
// A [StoreComposer] names the parts: a [DataStore] keeps uploads, small
// interfaces ([Terminater], [Concater] and others) add abilities, and a
// [Locker] makes sure that one request at a time changes an upload. The
// handler neither serves nor advertises an extension that the store lacks. The
// packages storetest and lockertest test any implementation against the
// contracts.
//
// # Routing
//
// [Handler] is one http.Handler for the creation URL and all uploads below
// it. Mount it under a prefix, with or without http.StripPrefix, once or more
// often. With http.ServeMux, each method can have its own middleware:
//
//	mux.Handle("POST /files/", mayCreate(handler))
//	mux.Handle("/files/", handler)
//
// [Handler.ServeUpload] serves one upload for a router that parses the path
// itself. A middleware that wraps http.ResponseWriter has to give its wrapper
// a method Unwrap() http.ResponseWriter, so that the handler can set deadlines.
//
// # Durability
//
// An acknowledged byte is as durable as the store promises; see package
// filestore for the durability levels on a disk.
package tusd
