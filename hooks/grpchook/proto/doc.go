// Package proto has the messages and the service of gRPC hooks, generated from hook.proto by
// protoc with protoc-gen-go and protoc-gen-go-grpc.
package proto

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative hook.proto
