// Program plugin is a plugin for -hooks-plugin: it refuses images that are none.
//
//	go build -o image-check ./examples/hooks/plugin
//	tusd -hooks-plugin ./image-check -hooks-enabled-events pre-finish
package main

import (
	"bytes"
	"io"
	"net/http"
	"os"

	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/pluginhook"
)

type handler struct{}

// Setup is called once after the start of the plugin.
func (handler) Setup() error { return nil }

// InvokeHook answers one event. An error is a failure, after which it comes again.
func (handler) InvokeHook(r hooks.HookRequest) (answer hooks.HookResponse, err error) {
	upload := r.Event.Upload
	if r.Type != "pre-finish" || upload.IsPartial || upload.MetaData["filetype"] != "image/png" {
		return answer, nil
	}
	begin, err := head(upload.Storage["Path"])
	if err != nil {
		return answer, err
	}
	if http.DetectContentType(begin) != "image/png" {
		answer.HTTPResponse = hooks.HTTPResponse{StatusCode: http.StatusUnsupportedMediaType, Body: "this is no PNG\n"}
	}
	return answer, nil
}

// head returns the first bytes of a file.
func head(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var begin bytes.Buffer
	_, err = io.CopyN(&begin, f, 512)
	if err == io.EOF {
		err = nil
	}
	return begin.Bytes(), err
}

func main() { pluginhook.Serve(handler{}) }
