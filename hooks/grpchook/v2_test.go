package grpchook_test

import (
	"bytes"
	"fmt"
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/grpchook"
)

// rawCodec passes messages as they are on the wire.
type rawCodec struct{}

func (rawCodec) Name() string                       { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }

// serveRaw starts a service that knows no messages, and returns its address.
func serveRaw(t *testing.T, answer func(method string, message []byte) []byte) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		var message []byte
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
		method, _ := grpc.MethodFromServerStream(stream)
		a := answer(method, message)
		return stream.SendMsg(&a)
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	t.Cleanup(func() { server.Stop(); <-done })
	return listener.Addr().String()
}

// The following build a message by hand.

func text(number protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

func integer(number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value)
}

func message(number protowire.Number, fields ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), slices.Concat(fields...))
}

func entry(number protowire.Number, key, value string) []byte {
	return message(number, text(1, key), text(2, value))
}

var full = hooks.HookRequest{Type: tusd.EventPostFinish, Event: hooks.Event{
	Upload: hooks.Upload{
		ID: "24e5", Size: 1 << 40, SizeIsDeferred: true, Offset: 1<<40 - 1, MetaData: map[string]string{"filename": "hello.txt"},
		IsPartial: true, IsFinal: true, PartialUploads: []string{"a", "b"}, Storage: map[string]string{"Path": "/d/24e5"}, Owner: "alice",
	},
	HTTPRequest: hooks.HTTPRequest{Method: "PATCH", URI: "/files/24e5", RemoteAddr: "192.0.2.1:1234", Header: map[string][]string{"X-Tenant": {"first", "second"}}},
	ID:          "e1", Sequence: 2, Time: time.Date(2026, 11, 30, 12, 0, 0, 5, time.UTC), Attempt: 3, Reason: tusd.RemovedExpired,
}}

// TestWire holds the numbers and types of all fields against those of tusd v2, and ours.
func TestWire(t *testing.T) {
	want := slices.Concat(
		text(1, "post-finish"),
		message(2,
			message(1,
				text(1, "24e5"), integer(2, 1<<40), integer(3, 1), integer(4, 1<<40-1), entry(5, "filename", "hello.txt"),
				integer(6, 1), integer(7, 1), text(8, "a"), text(8, "b"), entry(9, "Path", "/d/24e5"), text(100, "alice"),
			),
			message(2, text(1, "PATCH"), text(2, "/files/24e5"), text(3, "192.0.2.1:1234"), entry(4, "X-Tenant", "first")),
			text(100, "e1"), integer(101, 2), text(102, "2026-11-30T12:00:00.000000005Z"), integer(103, 3), text(104, "expired"),
		),
	)
	answer := slices.Concat(
		message(1, integer(1, 413), entry(2, "X-Why", "quota"), text(3, "no")),
		integer(2, 1), integer(3, 1),
		message(4, text(1, "b"), entry(2, "c", "d"), entry(3, "Path", "e"), text(100, "f"), text(101, "2026-11-30T12:00:00Z"), integer(102, 1)),
		integer(5, 1), integer(100, 1), integer(101, 60), text(999, "a field of a later version"),
	)
	var method string
	var got []byte
	h := setUp(t, &grpchook.Hook{Target: serveRaw(t, func(m string, message []byte) []byte {
		method, got = m, message
		return answer
	})})
	response, err := h.InvokeHook(t.Context(), full)
	if err != nil || method != "/proto.HookHandler/InvokeHook" || !bytes.Equal(got, want) {
		t.Errorf("%s, %v\n got %x\nwant %x", method, err, got, want)
	}
	if want := (hooks.HookResponse{
		HTTPResponse: hooks.HTTPResponse{StatusCode: 413, Body: "no", Header: map[string]string{"X-Why": "quota"}},
		RejectUpload: true, RejectTermination: true, RejectAccess: true, AllowSeconds: 60, StopUpload: true,
		ChangeFileInfo: hooks.FileInfoChanges{
			ID: "b", MetaData: map[string]string{"c": "d"}, Storage: map[string]string{"Path": "e"}, Owner: "f", Expires: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC),
		},
	}); !reflect.DeepEqual(response, want) {
		t.Errorf("%+v, want %+v", response, want)
	}
	// A field with its zero value is not sent: the message is one that tusd v2 sends.
	if _, err := h.InvokeHook(t.Context(), hooks.HookRequest{Type: tusd.EventPreCreate, Event: hooks.Event{Upload: hooks.Upload{Size: 5, MetaData: map[string]string{}}}}); err != nil {
		t.Fatal(err)
	}
	if want := slices.Concat(text(1, "pre-create"), message(2, message(1, integer(2, 5)), message(2))); !bytes.Equal(got, want) {
		t.Errorf("pre-create: got %x, want %x", got, want)
	}
}

// v2Messages are the messages of tusd v2 alone: name, type and number of each field.
var v2Messages = map[string]string{
	"HookRequest":     "type string 1, event Event 2",
	"Event":           "upload FileInfo 1, httpRequest HTTPRequest 2",
	"FileInfo":        "id string 1, size int64 2, sizeIsDeferred bool 3, offset int64 4, metaData map 5, isPartial bool 6, isFinal bool 7, partialUploads repeated 8, storage map 9",
	"HTTPRequest":     "method string 1, uri string 2, remoteAddr string 3, header map 4",
	"HookResponse":    "httpResponse HTTPResponse 1, rejectUpload bool 2, stopUpload bool 3, changeFileInfo FileInfoChanges 4",
	"HTTPResponse":    "statusCode int64 1, header map 2, body string 3",
	"FileInfoChanges": "id string 1, metaData map 2, storage map 3",
}

// v2Descriptor compiles v2Messages.
func v2Descriptor(t *testing.T) protoreflect.MessageDescriptors {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{Name: protobuf.String("v2.proto"), Package: protobuf.String("proto"), Syntax: protobuf.String("proto3")}
	for name, fields := range v2Messages {
		m := &descriptorpb.DescriptorProto{Name: protobuf.String(name)}
		for f := range bytes.SplitSeq([]byte(fields), []byte(", ")) {
			var fieldName, kind string
			var number int32
			if _, err := fmt.Sscan(string(f), &fieldName, &kind, &number); err != nil {
				t.Fatal(err)
			}
			m.Field = append(m.Field, v2Field(m, fieldName, kind, number))
		}
		file.MessageType = append(file.MessageType, m)
	}
	d, err := protodesc.NewFile(file, new(protoregistry.Files))
	if err != nil {
		t.Fatal(err)
	}
	return d.Messages()
}

func v2Field(m *descriptorpb.DescriptorProto, name, kind string, number int32) *descriptorpb.FieldDescriptorProto {
	field := &descriptorpb.FieldDescriptorProto{Name: &name, JsonName: &name, Number: &number, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	switch kind {
	case "string":
		field.Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	case "int64":
		field.Type = descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum()
	case "bool":
		field.Type = descriptorpb.FieldDescriptorProto_TYPE_BOOL.Enum()
	case "repeated":
		field.Type, field.Label = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	case "map":
		entry := string(bytes.ToUpper([]byte(name[:1]))) + name[1:] + "Entry"
		nested := &descriptorpb.DescriptorProto{Name: &entry, Options: &descriptorpb.MessageOptions{MapEntry: protobuf.Bool(true)}}
		nested.Field = append(nested.Field, v2Field(nested, "key", "string", 1), v2Field(nested, "value", "string", 2))
		m.NestedType = append(m.NestedType, nested)
		field.Type, field.Label = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		field.TypeName = protobuf.String(".proto." + m.GetName() + "." + entry)
	default:
		field.Type, field.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), protobuf.String(".proto."+kind)
	}
	return field
}

// fieldsOf returns the fields of a message that its type knows, as Go values.
func fieldsOf(m protoreflect.Message) map[string]any {
	fields := make(map[string]any)
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.IsMap():
			texts := make(map[string]string)
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool { texts[k.String()] = v.String(); return true })
			fields[string(d.Name())] = texts
		case d.IsList():
			var texts []string
			for i := range v.List().Len() {
				texts = append(texts, v.List().Get(i).String())
			}
			fields[string(d.Name())] = texts
		case d.Message() != nil:
			fields[string(d.Name())] = fieldsOf(v.Message())
		default:
			fields[string(d.Name())] = v.Interface()
		}
		return true
	})
	return fields
}

// A service that was built from the messages of tusd v2 alone reads our request, and its answer
// is understood.
func TestServiceOfV2(t *testing.T) {
	messages := v2Descriptor(t)
	var got map[string]any
	h := setUp(t, &grpchook.Hook{Target: serveRaw(t, func(_ string, wire []byte) []byte {
		r := dynamicpb.NewMessage(messages.ByName("HookRequest"))
		if err := protobuf.Unmarshal(wire, r); err != nil {
			t.Error(err)
		}
		got = fieldsOf(r)
		changes := dynamicpb.NewMessage(messages.ByName("FileInfoChanges"))
		changes.Set(changes.Descriptor().Fields().ByName("id"), protoreflect.ValueOfString("b"))
		changes.Mutable(changes.Descriptor().Fields().ByName("metaData")).Map().Set(protoreflect.ValueOfString("c").MapKey(), protoreflect.ValueOfString("d"))
		response := dynamicpb.NewMessage(messages.ByName("HTTPResponse"))
		response.Set(response.Descriptor().Fields().ByName("statusCode"), protoreflect.ValueOfInt64(413))
		response.Set(response.Descriptor().Fields().ByName("body"), protoreflect.ValueOfString("no"))
		a := dynamicpb.NewMessage(messages.ByName("HookResponse"))
		a.Set(a.Descriptor().Fields().ByName("httpResponse"), protoreflect.ValueOfMessage(response))
		a.Set(a.Descriptor().Fields().ByName("rejectUpload"), protoreflect.ValueOfBool(true))
		a.Set(a.Descriptor().Fields().ByName("stopUpload"), protoreflect.ValueOfBool(true))
		a.Set(a.Descriptor().Fields().ByName("changeFileInfo"), protoreflect.ValueOfMessage(changes))
		wire, err := protobuf.Marshal(a)
		if err != nil {
			t.Error(err)
		}
		return wire
	})})
	response, err := h.InvokeHook(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"type": "post-finish",
		"event": map[string]any{
			"upload": map[string]any{
				"id": "24e5", "size": int64(1 << 40), "sizeIsDeferred": true, "offset": int64(1<<40 - 1), "metaData": map[string]string{"filename": "hello.txt"},
				"isPartial": true, "isFinal": true, "partialUploads": []string{"a", "b"}, "storage": map[string]string{"Path": "/d/24e5"},
			},
			"httpRequest": map[string]any{"method": "PATCH", "uri": "/files/24e5", "remoteAddr": "192.0.2.1:1234", "header": map[string]string{"X-Tenant": "first"}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the service reads %v, want %v", got, want)
	}
	if want := (hooks.HookResponse{
		HTTPResponse: hooks.HTTPResponse{StatusCode: 413, Body: "no"}, RejectUpload: true, StopUpload: true,
		ChangeFileInfo: hooks.FileInfoChanges{ID: "b", MetaData: map[string]string{"c": "d"}},
	}); !reflect.DeepEqual(response, want) {
		t.Errorf("%+v, want %+v", response, want)
	}
}
