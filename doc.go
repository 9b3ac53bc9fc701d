// Package tusd is a server for resumable uploads: it speaks the tus 1.0
// protocol (https://tus.io/protocols/resumable-upload) and, on the same URLs,
// the IETF draft "Resumable Uploads for HTTP" (interop versions 3 to 9), over
// net/http.
//
// A client creates an upload with POST, sends its bytes with PATCH requests,
// and asks with HEAD where to go on after anything has broken. Bytes whose
// offset was shown in an answer are never asked for again.
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
// A [StoreComposer] says which part does what: a [DataStore] keeps uploads,
// small interfaces beside it ([Terminater], [Concater] and others) add
// abilities, a [Locker] makes sure that one request at a time changes an
// upload. What a store cannot do is neither served nor advertised. Packages
// storetest and lockertest hold the suites that every implementation passes.
//
// # Routing
//
// [Handler] is one http.Handler for the creation URL and all uploads below
// it. Mount it under a prefix, with or without http.StripPrefix, as often as
// you like; with a mux that knows methods and middleware of your own:
//
//	mux.Handle("POST /files/", mayCreate(handler))
//	mux.Handle("/files/", handler)
//
// [Handler.ServeUpload] serves one upload for a router that takes the path
// apart itself. A middleware that wraps http.ResponseWriter gives its wrapper
// a method Unwrap() http.ResponseWriter, so that deadlines can be set.
//
// # Durability
//
// What an answer says is as safe as the store promises; see package
// filestore for the levels on a disk.
package tusd
