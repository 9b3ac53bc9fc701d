// Program grpc is a service for -hooks-grpc: it gives uploads names of their own, and keeps
// complete uploads from being deleted.
//
//	tusd -hooks-grpc 127.0.0.1:8000 -hooks-enabled-events pre-create,post-finish,pre-terminate
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"log"
	"net"
	"time"

	"google.golang.org/grpc"

	"github.com/tus/tusd/hooks/grpchook/proto"
)

type handler struct {
	proto.UnimplementedHookHandlerServer
}

// InvokeHook answers one event. An error is a failure, after which the client, or for post-*
// events the server, tries again.
func (handler) InvokeHook(_ context.Context, r *proto.HookRequest) (*proto.HookResponse, error) {
	answer, upload := new(proto.HookResponse), r.Event.Upload
	switch r.Type {
	case "pre-create": // 2026/11/30/RANDOM
		answer.ChangeFileInfo = &proto.FileInfoChanges{Id: time.Now().UTC().Format("2006/01/02/") + rand.Text()}
	case "pre-terminate":
		if !upload.SizeIsDeferred && upload.Offset == upload.Size {
			answer.RejectTermination = true
			answer.HttpResponse = &proto.HTTPResponse{StatusCode: 403, Body: "a complete upload stays\n"}
		}
	case "post-finish":
		log.Printf("upload %s has %d bytes, event %s", upload.Id, upload.Size, r.Event.Id)
	}
	return answer, nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8000", "the address of the service")
	flag.Parse()
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Println("listening on", listener.Addr())
	server := grpc.NewServer()
	proto.RegisterHookHandlerServer(server, handler{})
	log.Fatal(server.Serve(listener))
}
